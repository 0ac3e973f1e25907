// A jsonb document as the text that the decoder of JSON bodies reads. Backends.
#pragma once

#include "pg/guard.hpp"

#include <string_view>

extern "C" {
#include "utils/jsonb.h"
}

namespace dbnet::telemetry {

// Without white space, in the current memory context. JsonbToCString, which writes for people, takes half as long
// again. May longjmp.
std::string_view json_text(::Jsonb *document);

} // namespace dbnet::telemetry
