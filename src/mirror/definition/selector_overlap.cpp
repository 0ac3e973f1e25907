// Whether two label selectors may select the same object (see selector_overlap.hpp); backends.
#include "mirror/definition/selector_overlap.hpp"

#include "kubernetes/object/label_selector.hpp"

#include <algorithm>

#include "pg/no_postgres.hpp"

namespace dbnet::mirror {
namespace {

using Requirement = kubernetes::LabelSelector::Requirement;

// `one` names the values that the label may have, and `other` allows none of them.
bool exclude(const Requirement &one, const Requirement &other) {
    return one.kind == Requirement::Kind::in && one.key == other.key &&
           std::none_of(one.values.begin(), one.values.end(),
                        [&](const std::string &value) { return other.allows(&value); });
}

} // namespace

bool may_overlap(std::string_view left, std::string_view right) {
    const auto left_selector = kubernetes::LabelSelector::parse(left);
    const auto right_selector = kubernetes::LabelSelector::parse(right);
    if (!left_selector || !right_selector)
        return true; // the server will say what it thinks of it
    for (const Requirement &one : left_selector->requirements())
        for (const Requirement &other : right_selector->requirements())
            if (exclude(one, other) || exclude(other, one))
                return false;
    return true;
}

} // namespace dbnet::mirror
