// Values of rows (see row.hpp).
#include "telemetry/tables/row.hpp"

#include "telemetry/tables/event_time.hpp"
#include "telemetry/tables/jsonb_bytes.hpp"

extern "C" {
#include "catalog/pg_type.h"
#include "utils/array.h"
}

namespace dbnet::telemetry {
namespace {

// An array of one dimension, without NULLs, of elements of 8 bytes that are passed by value; its elements are filled
// in.
char *new_array(Oid element, uint32_t count, RowMemory &memory, Datum &datum) {
    const size_t size = count == 0 ? sizeof(ArrayType) : ARR_OVERHEAD_NONULLS(1) + size_t{count} * 8;
    auto *array = reinterpret_cast<ArrayType *>(memory.allocate(size));
    SET_VARSIZE(array, size);
    array->ndim = count == 0 ? 0 : 1;
    array->dataoffset = 0;
    array->elemtype = element;
    datum = PointerGetDatum(array);
    if (count == 0)
        return nullptr;
    ARR_DIMS(array)[0] = static_cast<int>(count);
    ARR_LBOUND(array)[0] = 1;
    return ARR_DATA_PTR(array);
}

} // namespace

void RowMemory::grow(size_t size) {
    // What is left of the block before is wasted: rows are small beside it.
    room_ = size > block_size ? size : block_size;
    next_ = static_cast<char *>(MemoryContextAllocHuge(context_, room_));
    total_ += room_;
}

void RowMemory::reset() {
    MemoryContextReset(context_);
    next_ = nullptr;
    room_ = total_ = 0;
}

Datum text_datum(std::string_view text, RowMemory &memory) {
    if (text.size() + VARHDRSZ_SHORT <= VARATT_SHORT_MAX) { // as a row holds it: no conversion follows
        char *value = memory.allocate(text.size() + VARHDRSZ_SHORT);
        SET_VARSIZE_SHORT(value, text.size() + VARHDRSZ_SHORT);
        memcpy(VARDATA_SHORT(value), text.data(), text.size());
        return PointerGetDatum(value);
    }
    char *value = memory.allocate(text.size() + VARHDRSZ);
    SET_VARSIZE(value, text.size() + VARHDRSZ);
    memcpy(VARDATA(value), text.data(), text.size());
    return PointerGetDatum(value);
}

void Row::span_id(const SpanId &id) noexcept {
    uint64_t number = 0;
    for (const uint8_t byte : id)
        number = number << 8 | byte;
    set(UInt64GetDatum(number));
}

void Row::attributes(Jsonb value) noexcept {
    set(PointerGetDatum(value == nullptr ? empty_object : value));
}

void Row::array(List<uint64_t> numbers) {
    Datum datum;
    auto *elements = reinterpret_cast<int64_t *>(new_array(INT8OID, numbers.count, memory_, datum));
    for (uint32_t place = 0; place < numbers.count; ++place)
        elements[place] = pinned(numbers.data[place]);
    set(datum);
}

void Row::array(List<double> numbers) {
    Datum datum;
    char *elements = new_array(FLOAT8OID, numbers.count, memory_, datum);
    if (numbers.count > 0)
        memcpy(elements, numbers.data, sizeof(double) * numbers.count);
    set(datum);
}

} // namespace dbnet::telemetry
