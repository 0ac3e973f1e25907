// PostgreSQL's numeric as it is stored (utils/adt/numeric.c): varlena header of 4 bytes, header of 2 (short) or 4
// (long) bytes, digits to base 10000, without leading and trailing zero digits. Pure C++.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dbnet::telemetry {

constexpr size_t numeric_room = 32; // the longest that these write

// Return the length that was written to `to`.
size_t put_numeric(char *to, int64_t value) noexcept;
size_t put_numeric(char *to, uint64_t value) noexcept;
// The shortest decimal number that reads as `value` again, which is finite.
size_t put_numeric(char *to, double value) noexcept;

} // namespace dbnet::telemetry
