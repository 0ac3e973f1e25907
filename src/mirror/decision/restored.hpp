// The object of a row whose DELETE is taken back (dbnet.undo): made again as it was, fields of which no column tells
// included. It is made under a field manager of its own, so that those fields are nobody's claim afterwards, as they
// were before; the row's claims are applied to it as to any other object. Pure C++; mirror worker.
#pragma once

#include <string>

#include "mirror/values/mapping.hpp"

namespace dbnet::mirror {

std::string restoring_manager(const std::string &field_manager);

// What the object can be made of again: without what the server says of it, what belongs to the incarnation that is
// gone, and what is only known by its digest. `stamp`: annotation that it gets.
Json restored_body(Json last_body, const std::string &stamp);

} // namespace dbnet::mirror
