// Rows of a set-returning function, given as text and converted by the input functions of the result's types. Runs in
// backends.
#pragma once

#include "pg/guard.hpp"

#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace dbnet::mirror {

class RowWriter {
public:
    using Value = std::optional<std::string>; // nullopt: NULL

    // To be made before SPI is connected. The function must be declared RETURNS SETOF record with OUT arguments or as a
    // table.
    explicit RowWriter(FunctionCallInfo call_info);

    void add(std::span<const Value> values);
    void add(std::initializer_list<Value> values) { add(std::span<const Value>(values.begin(), values.size())); }

private:
    ReturnSetInfo *result_;
    AttInMetadata *inputs_;
    MemoryContext work_; // belongs to the query
};

inline const char *boolean_text(bool value) noexcept {
    return value ? "true" : "false";
}

} // namespace dbnet::mirror
