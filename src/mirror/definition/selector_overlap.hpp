// Label selectors, as far as DBNet must understand them: whether two of them may select the same object. Plain data.
// Runs in backends.
#pragma once

#include <string_view>

namespace dbnet::mirror {

// False only when they certainly exclude each other: one asks for key=a, the other for key=b, key!=a or !key.
bool may_overlap(std::string_view left, std::string_view right);

} // namespace dbnet::mirror
