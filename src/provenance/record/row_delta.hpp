// What differs between two images of a row. Backends; inside pg::call, may longjmp.
#pragma once

#include "provenance/record/jsonb_object.hpp"

namespace dbnet::provenance {

// Both have the same names: those of which the values differ; what an image lacks is null.
struct ObjectDelta {
    Jsonb *old_row, *new_row;
};
ObjectDelta delta_between(const Jsonb *old_row, const Jsonb *new_row);

} // namespace dbnet::provenance
