// Fuzz target of recorded schema rules: two of them compared, and a value checked by the first. The three are separated
// by the byte 0x1E.
#include "mirror/definition/schema_changes.hpp"
#include "mirror/values/value_rules.hpp"

#include <nlohmann/json.hpp>

#include <array>
#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    using namespace dbnet::mirror;
    std::string_view text(reinterpret_cast<const char *>(data), size);
    std::array<std::string_view, 3> parts;
    for (std::string_view &part : parts) {
        part = text.substr(0, text.find('\x1e'));
        text.remove_prefix(std::min(text.size(), part.size() + 1));
    }
    if (!rules_difference(parts[0], parts[0]).empty())
        std::abort();
    rules_difference(parts[0], parts[1]);
    const auto rules = ValueRules::parse(parts[0]);
    const nlohmann::json value = nlohmann::json::parse(parts[2], nullptr, false);
    if (rules && !value.is_discarded()) {
        rules->check(value);
        if (!rules->covers(value, value))
            std::abort();
    }
    return 0;
}
