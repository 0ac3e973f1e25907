// What is recorded of a table's rows, from dbnet.tracked_relation; looked up once per backend and table, again when the
// table or its line there changes. Backends; inside pg::call, may longjmp.
#pragma once

#include "provenance/record/value.hpp"

extern "C" {
#include "utils/relcache.h"
}

namespace dbnet::provenance {

struct TrackedColumn {
    std::string_view name;
    AttrNumber number = InvalidAttrNumber;
    int16 length = 0;
    bool by_value = false;
    bool is_key = false;
    bool is_redacted = false;
    ValueForm form;
};

// A table, or one partition of a tracked table.
struct TrackedTable {
    bool is_tracked = false;
    bool is_known = false;        // is or was tracked: number and columns are there
    int32 number = 0;             // dbnet.tracked_relation.number
    Oid root = InvalidOid;        // the table itself
    bool all_activations = false; // every activation of its triggers is recorded
    bool is_heap = false;         // its rows carry command ids
    bool has_redacted = false;
    int count = 0;
    TrackedColumn *columns = nullptr; // in jsonb's order of names; not those that no row holds (virtual ones)
    int key_count = 0;
    int *keys = nullptr;            // places in columns, in the order of dbnet.tracked_relation.key_columns
    std::string_view digest_key;    // of redacted values
    const char *lost_key = nullptr; // the key column that is gone: nothing can be recorded
};

// Never null; valid until the end of the transaction. Raises 42703 when the table has lost a key column.
const TrackedTable *tracked_table(Relation relation);
// Whether the relation or the table that it is a partition of is tracked.
const TrackedTable *tracked_table(Oid relation);

// The number by which a row is found: over the texts of its key's values, in the order of the key columns.
class KeyHash {
public:
    void add(std::string_view text) noexcept;
    void add(const JsonbField &value); // its text
    int64 value() const noexcept { return static_cast<int64>(hash_); }

private:
    uint64 hash_ = 0;
};
int64 key_hash(const TrackedTable &table, const Jsonb *key);

// `hmac-sha256:` and the HMAC of the value under dbnet.digest_key; palloc'd.
std::string_view digest_of(const TrackedTable &table, const JsonbField &value);

// At the end of a transaction: what was invalidated need not be kept, for its table may be gone.
void forget_stale_tables() noexcept;

// Called once per process, when the hooks are installed.
void watch_tables();

} // namespace dbnet::provenance
