// Rows of ours, byte by byte (see own_row.hpp). Backends; inside pg::call.
#include "provenance/record/own_row.hpp"

#include "pg/guard.hpp"

#include <algorithm>

extern "C" {
#include "access/htup_details.h"
#include "access/transam.h"
}

namespace dbnet::provenance {
namespace {

constexpr size_t usual_size = 512; // of most rows

constexpr size_t aligned(size_t offset, size_t alignment) noexcept {
    return (offset + alignment - 1) & ~(alignment - 1);
}

} // namespace

OwnRow::OwnRow(int columns) : columns_(columns), size_(MAXALIGN(SizeofHeapTupleHeader + BITMAPLEN(columns))) {
    capacity_ = size_ + usual_size;
    bytes_ = static_cast<char *>(palloc(HEAPTUPLESIZE + capacity_));
    memset(bytes_, 0, HEAPTUPLESIZE + size_);
    header()->t_hoff = static_cast<uint8>(size_);
}

HeapTupleHeader OwnRow::header() const noexcept {
    return reinterpret_cast<HeapTupleHeader>(bytes_ + HEAPTUPLESIZE);
}

// What is skipped for the alignment is zero, as PostgreSQL has it.
char *OwnRow::room(size_t size, size_t alignment) {
    const size_t start = aligned(size_, alignment), end = start + size;
    if (end > capacity_) {
        capacity_ = std::max(end, capacity_ * 2);
        bytes_ = static_cast<char *>(repalloc(bytes_, HEAPTUPLESIZE + capacity_));
    }
    char *const row = bytes_ + HEAPTUPLESIZE;
    for (; size_ < start; ++size_)
        row[size_] = '\0';
    size_ = end;
    header()->t_bits[place_ >> 3] |= static_cast<bits8>(1 << (place_ & 7)); // set: not null
    ++place_;
    return row + start;
}

void OwnRow::hash_value(uint64 datum) noexcept {
    char bytes[1 + sizeof datum] = {'\1'};
    memcpy(bytes + 1, &datum, sizeof datum);
    hash_.add(std::string_view(bytes, sizeof bytes));
}

void OwnRow::hash_variable(std::string_view value) noexcept {
    char bytes[1 + sizeof(uint32)] = {'\1'};
    const auto length = static_cast<uint32>(value.size());
    memcpy(bytes + 1, &length, sizeof length);
    hash_.add(std::string_view(bytes, sizeof bytes));
    hash_.add(value);
}

// With a header of one byte where that is enough.
void OwnRow::write_variable(std::string_view value) {
    has_variable_ = true;
    if (value.size() + VARHDRSZ_SHORT <= VARATT_SHORT_MAX) {
        char *const place = room(VARHDRSZ_SHORT + value.size(), 1);
        SET_VARSIZE_SHORT(place, VARHDRSZ_SHORT + value.size());
        memcpy(place + VARHDRSZ_SHORT, value.data(), value.size());
    } else {
        char *const place = room(VARHDRSZ + value.size(), sizeof(int32));
        SET_VARSIZE(place, VARHDRSZ + value.size());
        memcpy(place + VARHDRSZ, value.data(), value.size());
    }
}

void OwnRow::null() {
    hash_.add(std::string_view("\0", 1));
    ++place_;
}

void OwnRow::add(int64 value) {
    write(value);
    hash_value(Int64GetDatum(value));
}

void OwnRow::add_integer(int32 value) {
    write(value);
    hash_value(Int32GetDatum(value));
}

void OwnRow::add_transaction_id(TransactionId value) {
    if (!TransactionIdIsValid(value))
        return null();
    write(value);
    hash_value(TransactionIdGetDatum(value));
}

void OwnRow::add(char value) {
    write(value);
    hash_value(CharGetDatum(value));
}

void OwnRow::add(std::string_view text) {
    write_variable(text);
    hash_variable(text);
}

void OwnRow::add(const Jsonb *document) {
    document != nullptr ? add_variable(PointerGetDatum(document)) : null();
}

void OwnRow::add_variable(Datum value) {
    const char *bytes = DatumGetPointer(value);
    add(std::string_view(VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes)));
}

void OwnRow::add_checksum() {
    write(int32{0});
    checksum_ = size_ - sizeof(int32);
}

Sha256::Digest OwnRow::seal() {
    const Sha256::Digest digest = hash_.digest();
    if (checksum_ != 0) {
        const int32 checksum = checksum_of(digest);
        memcpy(bytes_ + HEAPTUPLESIZE + checksum_, &checksum, sizeof checksum);
    }
    return digest;
}

void OwnRow::add_root(std::string_view digest) {
    write_variable(digest);
}

void OwnRow::no_root() {
    ++place_;
}

HeapTuple OwnRow::tuple() {
    Assert(place_ == columns_);
    auto *tuple = reinterpret_cast<HeapTuple>(bytes_);
    tuple->t_len = static_cast<uint32>(size_);
    ItemPointerSetInvalid(&tuple->t_self);
    tuple->t_data = header();
    ItemPointerSetInvalid(&tuple->t_data->t_ctid);
    HeapTupleHeaderSetNatts(tuple->t_data, columns_);
    tuple->t_data->t_infomask = HEAP_HASNULL | (has_variable_ ? HEAP_HASVARWIDTH : 0);
    return tuple;
}

} // namespace dbnet::provenance
