// Which known names a mistyped one may have meant. Used for errors.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dbnet::kubernetes {

// At most `count` of the names, the most similar first; equal ones in their given order.
std::vector<std::string> nearest(std::string_view wanted, const std::vector<std::string> &names, size_t count);

} // namespace dbnet::kubernetes
