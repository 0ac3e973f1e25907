// Values of a row on their way into a table, column by column. Inside pg::call; may longjmp.
#pragma once

#include "telemetry/batch.hpp"

#include "pg/compat.hpp"

namespace dbnet::telemetry {

// Memory of the values of many rows, given back at once.
class RowMemory {
public:
    explicit RowMemory(MemoryContext context) noexcept : context_(context) {}

    char *allocate(size_t size) {
        size = MAXALIGN(size);
        if (size > room_)
            grow(size);
        char *taken = next_;
        next_ += size;
        room_ -= size;
        return taken;
    }
    // Enough has come together that rows should be written and reset() called.
    bool is_full() const noexcept { return total_ > 4 * 1024 * 1024; }
    void reset();

    MemoryContext context() const noexcept { return context_; }

private:
    static constexpr size_t block_size = 64 * 1024;

    void grow(size_t size);

    MemoryContext context_;
    char *next_ = nullptr;
    size_t room_ = 0, total_ = 0;
};

// Text in the form in which a row holds it.
Datum text_datum(std::string_view text, RowMemory &memory);

class Row {
public:
    Row(Datum *values, bool *nulls, RowMemory &memory) noexcept : values_(values), nulls_(nulls), memory_(memory) {}

    void big(int64_t value) noexcept { set(Int64GetDatum(value)); }
    void integer(int32_t value) noexcept { set(Int32GetDatum(value)); }
    void small(int16_t value) noexcept { set(Int16GetDatum(value)); }
    void floating(double value) noexcept { set(Float8GetDatum(value)); }
    void floating_if(double value, bool is_there) noexcept { is_there ? floating(value) : null(); }
    void null() noexcept {
        values_[count_] = Datum{0};
        nulls_[count_++] = true;
    }
    void text(std::string_view text) { set(text_datum(text, memory_)); }
    void text_unless_empty(std::string_view value) { value.empty() ? null() : text(value); }
    // The batch must live as long as the row.
    void trace_id(const TraceId &id) noexcept { set(PointerGetDatum(id.data())); }
    void trace_id_unless_zero(const TraceId &id) noexcept { id == TraceId{} ? null() : trace_id(id); }
    void span_id(const SpanId &id) noexcept;
    void span_id_unless_zero(const SpanId &id) noexcept { id == SpanId{} ? null() : span_id(id); }
    void jsonb(Jsonb value) noexcept { value == nullptr ? null() : set(PointerGetDatum(value)); }
    void attributes(Jsonb value) noexcept;
    void array(List<uint64_t> numbers);
    void array(List<double> numbers);
    void datum(Datum value) noexcept { set(value); }

private:
    void set(Datum value) noexcept {
        values_[count_] = value;
        nulls_[count_++] = false;
    }

    Datum *values_;
    bool *nulls_;
    RowMemory &memory_;
    int count_ = 0;
};

} // namespace dbnet::telemetry
