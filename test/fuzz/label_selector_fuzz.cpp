// Fuzz target of label selectors: what is taken can be asked about any labels, and two of them for their overlap.
#include "kubernetes/object/label_selector.hpp"
#include "mirror/definition/selector_overlap.hpp"

#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char *>(data), size);
    const size_t half = size / 2;
    const auto selector = dbnet::kubernetes::LabelSelector::parse(text.substr(0, half));
    const auto other = dbnet::kubernetes::LabelSelector::parse(text.substr(half));
    nlohmann::json labels;
    if (selector)
        for (const auto &requirement : selector->requirements())
            if (!requirement.values.empty())
                labels[requirement.key] = requirement.values.front();
    if (selector && other && selector->matches(labels) && other->matches(labels) &&
        !dbnet::mirror::may_overlap(text.substr(0, half), text.substr(half)))
        std::abort();
    return 0;
}
