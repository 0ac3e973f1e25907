// Tracked tables (see tracked_table.hpp). Backends.
#include "provenance/record/tracked_table.hpp"

#include "pg/guard.hpp"
#include "provenance/record/own_tables.hpp"
#include "provenance/record/stale_entries.hpp"

#include <algorithm>

#include <openssl/evp.h>
#include <openssl/hmac.h>

extern "C" {
#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/partition.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
}

namespace dbnet::provenance {
namespace {

struct Entry {
    Oid relation; // key
    bool is_known;
    MemoryContext memory; // of what the table refers to
    TrackedTable table;
};

HTAB *entries = nullptr;
Entry *last_asked = nullptr; // most questions are about the same table again
uint32 stale = 0;            // entries that are not known
uint64 tracking_changes = 0; // that invalidations have told of

void make_stale(Entry &entry) noexcept {
    if (entry.is_known)
        ++stale;
    entry.is_known = false;
}

extern "C" void dbnet_tracked_table_changed(Datum, Oid relation) {
    ++tracking_changes;
    if (entries == nullptr)
        return;
    const bool all = !OidIsValid(relation) || relation == own_table_if_known(OwnTable::tracked_relation);
    if (!all) {
        // A partition's entry depends on its parents, too: those are told by their own invalidation of the partition.
        if (auto *entry = static_cast<Entry *>(hash_search(entries, &relation, HASH_FIND, nullptr)))
            make_stale(*entry);
        return;
    }
    HASH_SEQ_STATUS scan;
    hash_seq_init(&scan, entries);
    while (auto *entry = static_cast<Entry *>(hash_seq_search(&scan)))
        make_stale(*entry);
}

// Columns of dbnet.tracked_relation.
enum {
    column_number = 1,
    column_relation,
    column_schema_name,
    column_table_name,
    column_key_columns,
    column_redacted_columns,
    column_activations,
    column_enabled
};

// A line of dbnet.tracked_relation; texts are in the current context.
struct Line {
    bool is_found = false, is_enabled = false;
    int32 number = 0;
    int key_count = 0, redacted_count = 0;
    Datum *keys = nullptr, *redacted = nullptr; // names
    bool all_activations = false;
};

Line find_line(Oid relation) {
    Line line;
    const Oid table = own_table(OwnTable::tracked_relation);
    if (!OidIsValid(table))
        return line;
    const Relation tracked = table_open(table, AccessShareLock);
    const TupleDesc columns = RelationGetDescr(tracked);
    const SysScanDesc scan = systable_beginscan(tracked, InvalidOid, false, nullptr, 0, nullptr);
    while (const HeapTuple tuple = systable_getnext(scan)) {
        bool is_null = false;
        if (DatumGetObjectId(heap_getattr(tuple, column_relation, columns, &is_null)) != relation || is_null)
            continue;
        line.is_found = true;
        line.is_enabled = DatumGetBool(heap_getattr(tuple, column_enabled, columns, &is_null));
        line.number = DatumGetInt32(heap_getattr(tuple, column_number, columns, &is_null));
        deconstruct_array(DatumGetArrayTypePCopy(heap_getattr(tuple, column_key_columns, columns, &is_null)), NAMEOID,
                          NAMEDATALEN, false, TYPALIGN_CHAR, &line.keys, nullptr, &line.key_count);
        deconstruct_array(DatumGetArrayTypePCopy(heap_getattr(tuple, column_redacted_columns, columns, &is_null)),
                          NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR, &line.redacted, nullptr, &line.redacted_count);
        line.all_activations =
            strcmp(TextDatumGetCString(heap_getattr(tuple, column_activations, columns, &is_null)), "all") == 0;
        break;
    }
    systable_endscan(scan);
    table_close(tracked, AccessShareLock);
    return line;
}

bool is_in(const char *name, const Datum *names, int count) {
    for (int index = 0; index < count; ++index)
        if (strcmp(name, NameStr(*DatumGetName(names[index]))) == 0)
            return true;
    return false;
}

std::string_view read_digest_key() {
    std::string_view key;
    const Oid table = own_table(OwnTable::digest_key);
    if (!OidIsValid(table))
        return key;
    const Relation keys = table_open(table, AccessShareLock);
    const SysScanDesc scan = systable_beginscan(keys, InvalidOid, false, nullptr, 0, nullptr);
    if (const HeapTuple tuple = systable_getnext(scan)) {
        bool is_null = false;
        key = TextDatumGetCString(heap_getattr(tuple, 2, RelationGetDescr(keys), &is_null));
    }
    systable_endscan(scan);
    table_close(keys, AccessShareLock);
    return key;
}

void fill_columns(TrackedTable &table, const Line &line, Relation relation, MemoryContext context) {
    const TupleDesc columns = RelationGetDescr(relation);
    table.columns = static_cast<TrackedColumn *>(palloc0(sizeof(TrackedColumn) * (columns->natts + 1)));
    for (int index = 0; index < columns->natts; ++index) {
        const Form_pg_attribute attribute = TupleDescAttr(columns, index);
        if (attribute->attisdropped || pg::compat::is_virtual(*attribute))
            continue;
        TrackedColumn column;
        column.name = pstrdup(NameStr(attribute->attname));
        column.number = attribute->attnum;
        column.length = attribute->attlen;
        column.by_value = attribute->attbyval;
        column.is_key = is_in(NameStr(attribute->attname), line.keys, line.key_count);
        column.is_redacted = !column.is_key && is_in(NameStr(attribute->attname), line.redacted, line.redacted_count);
        column.form = form_of(attribute->atttypid, context, true);
        table.has_redacted |= column.is_redacted;
        table.columns[table.count++] = column;
    }
    std::sort(table.columns, table.columns + table.count,
              [](const TrackedColumn &left, const TrackedColumn &right) { return is_before(left.name, right.name); });
    table.keys = static_cast<int *>(palloc0(sizeof(int) * (line.key_count + 1)));
    for (int key = 0; key < line.key_count; ++key) {
        const char *name = NameStr(*DatumGetName(line.keys[key]));
        const auto found = std::find_if(table.columns, table.columns + table.count,
                                        [&](const TrackedColumn &column) { return column.name == name; });
        if (found == table.columns + table.count) {
            if (line.is_enabled)
                table.lost_key = pstrdup(name);
            return;
        }
        table.keys[table.key_count++] = static_cast<int>(found - table.columns);
    }
    table.is_known = true;
    if (table.has_redacted)
        table.digest_key = read_digest_key();
}

void fill(TrackedTable &table, Relation relation, MemoryContext context) {
    Oid root = RelationGetRelid(relation);
    Line line = find_line(root);
    if (!line.is_enabled && relation->rd_rel->relispartition) {
        const List *ancestors = get_partition_ancestors(root);
        for (int index = 0; index < list_length(ancestors) && !line.is_enabled; ++index) {
            root = list_nth_oid(ancestors, index);
            line = find_line(root);
        }
    }
    if (!line.is_found)
        return;
    table.is_tracked = line.is_enabled;
    table.number = line.number;
    table.root = root;
    table.all_activations = line.all_activations;
    table.is_heap = relation->rd_tableam == GetHeapamTableAmRoutine();
    fill_columns(table, line, relation, context);
}

Entry *find_entry(Oid relation) {
    if (last_asked != nullptr && last_asked->relation == relation)
        return last_asked;
    if (entries == nullptr) {
        HASHCTL control{};
        control.keysize = sizeof(Oid);
        control.entrysize = sizeof(Entry);
        entries = hash_create("DBNet tracked tables", 64, &control, HASH_ELEM | HASH_BLOBS);
    }
    bool is_found = false;
    auto *entry = static_cast<Entry *>(hash_search(entries, &relation, HASH_ENTER, &is_found));
    if (!is_found) {
        ++stale;
        entry->is_known = false;
        entry->memory = nullptr;
        entry->table = TrackedTable{};
    }
    return last_asked = entry;
}

// Digits and all, as PostgreSQL writes the value.
std::string_view text_of(const JsonbField &field) {
    switch (field.kind) {
    case JsonbField::Kind::string:
        return {field.bytes, field.length};
    case JsonbField::Kind::numeric:
        return DatumGetCString(DirectFunctionCall1(numeric_out, PointerGetDatum(field.bytes)));
    case JsonbField::Kind::boolean:
        return field.boolean ? "true" : "false";
    case JsonbField::Kind::container:
        return JsonbToCString(nullptr, reinterpret_cast<JsonbContainer *>(const_cast<char *>(field.bytes)),
                              static_cast<int>(field.length));
    case JsonbField::Kind::null:
        break;
    }
    return {};
}

const TrackedTable *look_up(Relation relation) {
    const Oid id = RelationGetRelid(relation);
    Entry *entry = find_entry(id);
    if (entry->is_known)
        return &entry->table;
    // What was known may still be in use in this transaction.
    if (entry->memory != nullptr)
        MemoryContextSetParent(entry->memory, TopTransactionContext);
    entry->memory = nullptr;
    entry->table = TrackedTable{};
    const MemoryContext context =
        AllocSetContextCreateInternal(CurTransactionContext, "DBNet tracked table", ALLOCSET_SMALL_SIZES);
    const MemoryContext before = MemoryContextSwitchTo(context);
    TrackedTable table;
    const uint64 before_reading = tracking_changes;
    fill(table, relation, context);
    MemoryContextSwitchTo(before);
    const bool is_worth_memory = table.number != 0;
    if (is_worth_memory)
        MemoryContextSetParent(context, TopMemoryContext);
    else
        MemoryContextDelete(context); // of what was never tracked nothing is kept
    entry = find_entry(id);
    entry->memory = is_worth_memory ? context : nullptr;
    entry->table = table;
    if (tracking_changes == before_reading) { // else it may be out of date already: once more at the next question
        entry->is_known = true;
        --stale;
    }
    return &entry->table;
}

// Raised when nothing is open that would have to be closed.
const TrackedTable *usable(const TrackedTable *table, Oid relation) {
    if (table->lost_key == nullptr)
        return table;
    const char *name = get_rel_name(relation);
    throw pg::error(ERRCODE_UNDEFINED_COLUMN, std::string("tracked table ") + (name != nullptr ? name : "") +
                                                  " has lost its key column \"" + table->lost_key + '"')
        .hint("Give the column its name back, or run dbnet.untrack and dbnet.track.");
}

} // namespace

const TrackedTable *tracked_table(Relation relation) {
    return usable(look_up(relation), RelationGetRelid(relation));
}

const TrackedTable *tracked_table(Oid relation) {
    if (Entry *entry = find_entry(relation); entry->is_known)
        return usable(&entry->table, relation);
    const Relation opened = try_relation_open(relation, AccessShareLock);
    if (opened == nullptr) {
        static const TrackedTable none;
        return &none;
    }
    const TrackedTable *table = look_up(opened);
    relation_close(opened, AccessShareLock);
    return usable(table, relation);
}

void KeyHash::add(std::string_view text) noexcept {
    hash_ =
        hash_bytes_extended(reinterpret_cast<const unsigned char *>(text.data()), static_cast<int>(text.size()), hash_);
}

void KeyHash::add(const JsonbField &value) {
    add(text_of(value));
}

int64 key_hash(const TrackedTable &table, const Jsonb *key) {
    KeyHash hash;
    for (int index = 0; index < table.key_count; ++index)
        hash.add(member(key, table.columns[table.keys[index]].name));
    return hash.value();
}

std::string_view digest_of(const TrackedTable &table, const JsonbField &value) {
    static constexpr char prefix[] = "hmac-sha256:";
    constexpr size_t prefix_length = sizeof prefix - 1, digest_length = 32;
    const std::string_view text = text_of(value);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int length = 0;
    if (HMAC(EVP_sha256(), table.digest_key.data(), static_cast<int>(table.digest_key.size()),
             reinterpret_cast<const unsigned char *>(text.data()), text.size(), digest, &length) == nullptr ||
        length != digest_length)
        throw pg::error(ERRCODE_INTERNAL_ERROR, "no digest of a redacted value could be made");
    auto *shown = static_cast<char *>(palloc(prefix_length + 2 * digest_length));
    memcpy(shown, prefix, prefix_length);
    for (size_t index = 0; index < digest_length; ++index) {
        static constexpr char digits[] = "0123456789abcdef";
        shown[prefix_length + 2 * index] = digits[digest[index] >> 4];
        shown[prefix_length + 2 * index + 1] = digits[digest[index] & 15];
    }
    return {shown, prefix_length + 2 * digest_length};
}

void forget_stale_tables() noexcept {
    if (remove_stale<Entry>(entries, stale, [](const Entry &) { return false; }))
        last_asked = nullptr;
}

void watch_tables() {
    CacheRegisterRelcacheCallback(dbnet_tracked_table_changed, Datum{0});
}

} // namespace dbnet::provenance
