// The order in which the objects of one transaction are sent: what others need first, deletes last and in reverse. Pure
// C++; mirror worker and dbnet.plan.
#pragma once

#include <string_view>

namespace dbnet::mirror {

// Lower goes first; equal goes in parallel. Applies are below every remove.
int apply_rank(std::string_view group, std::string_view kind);
int remove_rank(std::string_view group, std::string_view kind);

} // namespace dbnet::mirror
