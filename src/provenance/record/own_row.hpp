// A row of ours in the making, straight in its form on disk: columns are added in their order, and the row's hash (see
// event_hash.hpp) is taken on the way. PostgreSQL's heap_form_tuple() and a hash of what went into it took a tenth of
// what a small transaction costs. Backends; inside pg::call, may longjmp, has no destructor.
#pragma once

#include "provenance/record/sha256.hpp"

extern "C" {
#include "access/htup.h"
#include "utils/jsonb.h"
}

namespace dbnet::provenance {

class OwnRow {
public:
    explicit OwnRow(int columns);

    void null();
    void add(int64 value); // bigint, xid8 and timestamptz
    void add_if(int64 value, bool is_there) { is_there ? add(value) : null(); }
    void add_integer(int32 value);
    void add_integer_if(int32 value, bool is_there) { is_there ? add_integer(value) : null(); }
    void add_transaction_id(TransactionId value); // xid; null: none
    void add(char value);
    void add(std::string_view text);
    void add(const char *text) { text != nullptr ? add(std::string_view(text)) : null(); }
    void add(const Jsonb *document);
    void add_variable(Datum value); // not stored out of line, nor compressed
    // The column `checksum`: seal() fills it in.
    void add_checksum();
    // The hash of all columns that were added, but the checksum; writes that. Columns `root` come after it.
    Sha256::Digest seal();
    void add_root(std::string_view digest);
    void no_root();

    // All columns are there; palloc'd.
    HeapTuple tuple();

private:
    char *room(size_t size, size_t alignment); // for a value that is not null
    void write_variable(std::string_view bytes);
    void hash_variable(std::string_view bytes) noexcept;
    template<class T> void write(T value) { memcpy(room(sizeof value, sizeof value), &value, sizeof value); }
    void hash_value(uint64 datum) noexcept;
    HeapTupleHeader header() const noexcept;

    int columns_, place_ = 0; // of the next column
    char *bytes_;             // HeapTupleData, then the row
    size_t size_, capacity_;  // of the row
    size_t checksum_ = 0;     // where it is
    bool has_variable_ = false;
    Sha256 hash_;
};

} // namespace dbnet::provenance
