// Fuzz target of schema patterns: the first line is the expression, the rest the text. Whatever they are, it ends soon.
#include "kubernetes/schema/pattern.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    const std::string_view input(reinterpret_cast<const char *>(data), size);
    const std::size_t line = std::min(input.find('\n'), size);
    const std::string_view expression = input.substr(0, line), text = input.substr(std::min(line + 1, size));
    const auto pattern = dbnet::kubernetes::Pattern::compile(expression);
    if (!pattern)
        return 0;
    const bool matches = pattern->matches(text);
    const auto again = dbnet::kubernetes::Pattern::compile(expression);
    if (!again || again->matches(text) != matches)
        std::abort();
    return 0;
}
