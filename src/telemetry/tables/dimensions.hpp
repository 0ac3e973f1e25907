// Numbers of resources, scopes, metrics and series: found by hash, written when they are new. What is known is kept in
// the process, bounded, and only what is committed. Any process that takes telemetry.
#pragma once

#include "telemetry/batch.hpp"

#include <vector>

namespace dbnet::telemetry {

// Numbers of what a batch refers to, in its order.
struct Dimensions {
    std::vector<int64_t> resources, scopes, metrics, series;
};

// In the running transaction; from C++ frames. New ones are inserted in the order of their hashes: two transactions
// that bring the same wait for each other at most, and never in a circle. Throws pg::pg_error.
Dimensions find_dimensions(const Batch &batch);

} // namespace dbnet::telemetry
