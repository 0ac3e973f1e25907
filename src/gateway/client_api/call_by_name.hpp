// Calling a function or procedure by name with arguments in JSON. Backends and sessions of the client API; inside
// pg::call, may longjmp; connects SPI itself.
#pragma once

#include "pg/guard.hpp"

extern "C" {
#include "utils/jsonb.h"
}

namespace dbnet::gateway {

// arguments: an object (by name) or an array (by place); nullptr: none. Of several of the name the one that takes these
// arguments is called; errors 42883 (`misfit`, when there is one of the name but none that takes them) and 42725. The
// result: of a procedure an object of its OUT arguments, or nullptr; of a function its value, an array of them when it
// returns a set; nullptr for NULL and void.
Jsonb *call_by_name(const char *name, Jsonb *arguments, int misfit = ERRCODE_UNDEFINED_FUNCTION);

} // namespace dbnet::gateway
