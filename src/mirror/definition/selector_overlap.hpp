// Whether two label selectors may select the same object. Pure C++; backends.
#pragma once

#include <string_view>

namespace dbnet::mirror {

// False only when they certainly exclude each other: one asks for values of a label, none of which the other allows.
bool may_overlap(std::string_view left, std::string_view right);

} // namespace dbnet::mirror
