// Hashes of rows (see event_hash.hpp). Backends; inside pg::call.
//
// column: 1 byte (0 null, 1 value) | value. By value: 8 bytes of the Datum; variable length: 4 bytes length, bytes;
// else bytes.
#include "provenance/record/event_hash.hpp"

#include "pg/guard.hpp"

extern "C" {
#include "fmgr.h"
}

namespace dbnet::provenance {

namespace {

bool is_left_out(const char *name) noexcept {
    return (*name == 'c' && strcmp(name, "checksum") == 0) || (*name == 'r' && strcmp(name, "root") == 0);
}

} // namespace

Sha256::Digest hash_of_row(TupleDesc columns, const Datum *values, const bool *nulls) {
    Sha256 hash;
    for (int index = 0; index < columns->natts; ++index) {
        const Form_pg_attribute column = TupleDescAttr(columns, index);
        if (column->attisdropped || is_left_out(NameStr(column->attname)))
            continue;
        hash.add(std::string_view(nulls[index] ? "\0" : "\1", 1));
        if (nulls[index])
            continue;
        if (column->attbyval) {
            const uint64 value = static_cast<uint64>(values[index]);
            hash.add(std::string_view(reinterpret_cast<const char *>(&value), sizeof value));
        } else if (column->attlen == -1) {
            const auto *payload = PG_DETOAST_DATUM_PACKED(values[index]);
            const uint32 length = VARSIZE_ANY_EXHDR(payload);
            hash.add(std::string_view(reinterpret_cast<const char *>(&length), sizeof length));
            hash.add(std::string_view(VARDATA_ANY(payload), length));
        } else {
            hash.add(std::string_view(DatumGetPointer(values[index]), column->attlen));
        }
    }
    return hash.digest();
}

} // namespace dbnet::provenance
