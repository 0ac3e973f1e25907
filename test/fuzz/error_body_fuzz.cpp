// Fuzz target of error classification and response headers: the first two bytes choose the status, the rest is the
// body.
#include "kubernetes/error.hpp"
#include "kubernetes/object/path.hpp"
#include "kubernetes/transport/header_text.hpp"

#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    using namespace dbnet::kubernetes;
    if (size < 2)
        return 0;
    Response response;
    response.status = 100 + (data[0] * 256 + data[1]) % 500;
    response.body.assign(reinterpret_cast<const char *>(data) + 2, size - 2);
    const Outcome outcome = classify(response, "configmaps");
    const bool good = response.status >= 200 && response.status < 300;
    if ((outcome.kind == Outcome::ok) != good || (!good && outcome.message.empty()))
        std::abort();
    for (const Cause &cause : outcome.causes)
        if (!cause.field.empty())
            FieldPath::parse(cause.field); // must be one of our paths
    warning_text(response.body);
    retry_after_seconds(response.body);
    header_value(response.body, "retry-after");
    return 0;
}
