// Fuzz target of quantities: a value's decimal form reads back as the same value, and rounding never makes it smaller.
#include "kubernetes/object/quantity.hpp"
#include "kubernetes/object/resource_version.hpp"

#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    using namespace dbnet::kubernetes;
    const std::string_view text(reinterpret_cast<const char *>(data), size);
    if (!same_quantity(text, text) || compare_resource_versions(text, text) != std::strong_ordering::equal)
        std::abort();
    const auto quantity = Quantity::parse(text);
    if (!quantity)
        return 0;
    const std::string decimal = quantity->decimal();
    if (Quantity::parse(decimal) != quantity || !same_quantity(text, decimal))
        std::abort();
    const Quantity rounded = quantity->rounded_up_to_milli();
    if (decimal.starts_with('-') ? rounded > *quantity : rounded < *quantity)
        std::abort();
    return 0;
}
