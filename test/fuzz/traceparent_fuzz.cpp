// Statement texts from outside, looked through for a trace context.
#include "provenance/hooks/traceparent.hpp"

#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    const std::string_view statement(reinterpret_cast<const char *>(data), size);
    const std::string_view found = dbnet::provenance::find_traceparent(statement);
    if (!found.empty() && !dbnet::provenance::is_traceparent(found))
        std::abort();
    if (dbnet::provenance::start_of_comments(statement) > size)
        std::abort();
    return 0;
}
