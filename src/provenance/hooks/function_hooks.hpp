// Calls of functions and procedures, and activations of triggers, in any language: by PostgreSQL's hook around function
// calls. Backends.
#pragma once

#include "provenance/record/recorder.hpp"

namespace dbnet::provenance {

// Arguments, or what the trigger was fired for, as they go on record. Called from activity_of() while the call runs, or
// after it has ended: then only what needs no arguments is known.
void describe_call(Activity &activity, const Frame &frame);

// Called once per process.
void install_function_hooks();

} // namespace dbnet::provenance
