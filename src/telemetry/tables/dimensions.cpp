// Numbers by hash (see dimensions.hpp).
//
// The cache holds what a committed transaction has seen or written, for half an hour: then last_seen is moved on, by
// which housekeeping sees that the row is still in use. It removes what was not seen for the retention and a day more.
// What the running transaction has seen is kept apart until it commits, and forgotten when it, or a savepoint, rolls
// back.
#include "telemetry/tables/dimensions.hpp"

#include "pg/as_superuser.hpp"
#include "pg/text_columns.hpp"
#include "telemetry/tables/event_time.hpp"
#include "telemetry/tables/jsonb_bytes.hpp"

#include <algorithm>
#include <unordered_map>

extern "C" {
#include "access/xact.h"
#include "catalog/namespace.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
}

namespace dbnet::telemetry {
namespace {

struct HashOfHash {
    size_t operator()(const Hash &hash) const noexcept { // cryptographic: any bits do
        size_t bits;
        memcpy(&bits, hash.data(), sizeof bits);
        return bits;
    }
};

struct Known {
    int64_t id;
    Instant seen; // last_seen is at least this
};
using KnownByHash = std::unordered_map<Hash, Known, HashOfHash>;

// Of one table. Two generations: when the younger is full it becomes the older, whose entries are forgotten unless they
// are asked for.
class Cache {
public:
    const Known *find(const Hash &hash, Instant oldest) {
        if (const auto found = fresh_.find(hash); found != fresh_.end())
            return found->second.seen >= oldest ? &found->second : nullptr;
        if (const auto found = under_way_.find(hash); found != under_way_.end())
            return &found->second;
        const auto found = aging_.find(hash);
        if (found == aging_.end() || found->second.seen < oldest)
            return nullptr;
        const Known known = found->second;
        return keep(hash, known);
    }
    void note(const Hash &hash, Known known) { under_way_.insert_or_assign(hash, known); }
    void commit() {
        for (const auto &[hash, known] : under_way_)
            keep(hash, known);
        under_way_.clear();
    }
    void roll_back() noexcept { under_way_.clear(); }
    // Another table, or another content, goes by the name.
    void is_of(Oid table, Oid content) noexcept {
        if (table == table_ && content == content_)
            return;
        fresh_.clear();
        aging_.clear();
        under_way_.clear();
        table_ = table;
        content_ = content;
    }

private:
    static constexpr size_t generation = 100'000; // entries of about 60 bytes

    const Known *keep(const Hash &hash, Known known) {
        if (fresh_.size() >= generation) {
            aging_.swap(fresh_);
            fresh_.clear();
        }
        return &fresh_.insert_or_assign(hash, known).first->second;
    }

    KnownByHash fresh_, aging_, under_way_;
    Oid table_ = InvalidOid, content_ = InvalidOid;
};

struct Caches {
    Cache resources, scopes, metrics, series;

    template<class F> void each(F f) {
        for (Cache *cache : {&resources, &scopes, &metrics, &series})
            f(*cache);
    }
};

extern "C" void dbnet_dimensions_at_end(XactEvent event, void *);
extern "C" void dbnet_dimensions_at_savepoint(SubXactEvent event, SubTransactionId, SubTransactionId, void *);

Caches &caches() {
    static Caches *const all = [] { // never freed: nothing is to run at the process's end
        auto *made = new Caches;
        pg::call([] {
            RegisterXactCallback(dbnet_dimensions_at_end, nullptr);
            RegisterSubXactCallback(dbnet_dimensions_at_savepoint, nullptr);
        });
        return made;
    }();
    return *all;
}

extern "C" void dbnet_dimensions_at_end(XactEvent event, void *) {
    pg::enter_noexcept([event] {
        if (event == XACT_EVENT_COMMIT)
            caches().each([](Cache &cache) { cache.commit(); });
        else if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
            caches().each([](Cache &cache) { cache.roll_back(); });
    });
}

extern "C" void dbnet_dimensions_at_savepoint(SubXactEvent event, SubTransactionId, SubTransactionId, void *) {
    if (event == SUBXACT_EVENT_ABORT_SUB)
        pg::enter_noexcept([] { caches().each([](Cache &cache) { cache.roll_back(); }); });
}

// ---- a table ----

struct Table {
    const char *name;
    pg::Statement find;   // $1 hashes → place from 1, id, how long it was not seen
    pg::Statement insert; // columns as text[], in the order of the hashes
    pg::Statement touch;  // $1 ids
    pg::Statement claim;  // $1 ids
};

// Of a row: 0 seen of late, 1 to be moved on, 2 not seen for so long that it may be on its way out.
#define DBNET_FIND(table, id)                                                                                          \
    "SELECT wanted.place, known." id ", CASE WHEN known.last_seen OPERATOR(pg_catalog.>) (pg_catalog.now() "           \
    "OPERATOR(pg_catalog.-) interval '20 minutes') THEN 0 WHEN known.last_seen OPERATOR(pg_catalog.>) "                \
    "(pg_catalog.now() OPERATOR(pg_catalog.-) interval '50 minutes') THEN 1 ELSE 2 END"                                \
    " FROM pg_catalog.unnest($1::pg_catalog.uuid[]) WITH ORDINALITY AS wanted(hash, place)"                            \
    " JOIN otel." table " AS known ON known.hash OPERATOR(pg_catalog.=) wanted.hash"
// Whoever holds the row is moving it on itself.
#define DBNET_TOUCH(table, id)                                                                                         \
    "UPDATE otel." table " SET last_seen = pg_catalog.now() WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY("             \
    "SELECT ctid FROM otel." table " WHERE " id " OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[]) FOR UPDATE SKIP " \
    "LOCKED))"
// Waits for who may be removing it.
#define DBNET_CLAIM(table, id)                                                                                         \
    "UPDATE otel." table " SET last_seen = pg_catalog.now() WHERE " id                                                 \
    " OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])"

Table resource_table{
    "resources", pg::Statement{DBNET_FIND("resources", "resource_id")},
    pg::Statement{
        "INSERT INTO otel.resources (hash, service_name, service_namespace, service_instance_id, node, pod, attributes,"
        " dropped_attributes_count, schema_url, entity_refs)"
        " SELECT * FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.uuid[]), pg_catalog.unnest($2::pg_catalog.text[]),"
        " pg_catalog.unnest($3::pg_catalog.text[]), pg_catalog.unnest($4::pg_catalog.text[]),"
        " pg_catalog.unnest($5::pg_catalog.text[]), pg_catalog.unnest($6::pg_catalog.text[]),"
        " pg_catalog.unnest($7::pg_catalog.jsonb[]), pg_catalog.unnest($8::pg_catalog.int4[]),"
        " pg_catalog.unnest($9::pg_catalog.text[]), pg_catalog.unnest($10::pg_catalog.jsonb[]))"
        " ON CONFLICT (hash) DO NOTHING"},
    pg::Statement{DBNET_TOUCH("resources", "resource_id")}, pg::Statement{DBNET_CLAIM("resources", "resource_id")}};
Table scope_table{
    "scopes", pg::Statement{DBNET_FIND("scopes", "scope_id")},
    pg::Statement{
        "INSERT INTO otel.scopes (hash, name, version, attributes, dropped_attributes_count, schema_url)"
        " SELECT * FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.uuid[]), pg_catalog.unnest($2::pg_catalog.text[]),"
        " pg_catalog.unnest($3::pg_catalog.text[]), pg_catalog.unnest($4::pg_catalog.jsonb[]),"
        " pg_catalog.unnest($5::pg_catalog.int4[]), pg_catalog.unnest($6::pg_catalog.text[]))"
        " ON CONFLICT (hash) DO NOTHING"},
    pg::Statement{DBNET_TOUCH("scopes", "scope_id")}, pg::Statement{DBNET_CLAIM("scopes", "scope_id")}};
Table metric_table{
    "metrics", pg::Statement{DBNET_FIND("metrics", "metric_id")},
    pg::Statement{
        "INSERT INTO otel.metrics (hash, name, description, unit, type, aggregation_temporality, is_monotonic,"
        " metadata, resource_id, scope_id)"
        " SELECT * FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.uuid[]), pg_catalog.unnest($2::pg_catalog.text[]),"
        " pg_catalog.unnest($3::pg_catalog.text[]), pg_catalog.unnest($4::pg_catalog.text[]),"
        " pg_catalog.unnest($5::pg_catalog.int2[]), pg_catalog.unnest($6::pg_catalog.int2[]),"
        " pg_catalog.unnest($7::pg_catalog.bool[]), pg_catalog.unnest($8::pg_catalog.jsonb[]),"
        " pg_catalog.unnest($9::pg_catalog.int4[]), pg_catalog.unnest($10::pg_catalog.int4[]))"
        " ON CONFLICT (hash) DO NOTHING"},
    pg::Statement{DBNET_TOUCH("metrics", "metric_id")}, pg::Statement{DBNET_CLAIM("metrics", "metric_id")}};
Table series_table{
    "series", pg::Statement{DBNET_FIND("series", "series_id")},
    pg::Statement{"INSERT INTO otel.series (hash, metric_id, attributes)"
                  " SELECT * FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.uuid[]), pg_catalog.unnest("
                  "$2::pg_catalog.int4[]), pg_catalog.unnest($3::pg_catalog.jsonb[])) ON CONFLICT (hash) DO NOTHING"},
    pg::Statement{DBNET_TOUCH("series", "series_id")}, pg::Statement{DBNET_CLAIM("series", "series_id")}};
#undef DBNET_FIND
#undef DBNET_TOUCH
#undef DBNET_CLAIM

std::string hex(const Hash &hash) {
    constexpr char digits[] = "0123456789abcdef";
    std::string text;
    for (const uint8_t byte : hash)
        text += {digits[byte >> 4], digits[byte & 15]};
    return text;
}

using Cell = pg::TextColumns::Cell;

Cell cell(std::string_view text) {
    return text.empty() ? Cell() : Cell(text);
}

Cell cell(Jsonb jsonb, bool or_empty = false) {
    if (jsonb == nullptr)
        jsonb = or_empty ? empty_object : nullptr;
    if (jsonb == nullptr)
        return {};
    std::string text;
    pg::call([&] {
        auto *container = &const_cast<::Jsonb *>(reinterpret_cast<const ::Jsonb *>(jsonb))->root;
        char *const printed = JsonbToCString(nullptr, container, static_cast<int>(jsonb_size(jsonb)));
        text = printed;
        pfree(printed);
    });
    return text;
}

// Finds the numbers of `items`, whose hash is .hash; `add` puts one into the columns of the table's insert.
template<class Item, class Add>
void find(Table &table, Cache &cache, const std::vector<Item> &items, std::vector<int64_t> &ids, Instant now, Add add) {
    constexpr Instant longest_known = 1800 * second_us;
    ids.assign(items.size(), 0);
    std::vector<uint32_t> missing;
    for (uint32_t place = 0; place < items.size(); ++place) {
        if (const Known *known = cache.find(items[place].hash, now - longest_known))
            ids[place] = known->id;
        else
            missing.push_back(place);
    }
    if (missing.empty())
        return;
    std::sort(missing.begin(), missing.end(),
              [&](uint32_t one, uint32_t other) { return items[one].hash < items[other].hash; });
    pg::as_superuser([&] {
        std::vector<std::string> old, forgotten;
        const auto look = [&] {
            std::vector<std::string> hashes;
            for (const uint32_t place : missing)
                hashes.push_back(hex(items[place].hash));
            const pg::Result found = pg::execute(table.find, hashes);
            for (size_t row = 0; row < found.rows(); ++row) {
                const int64_t age = found.integer(row, 2);
                if (age == 2)
                    forgotten.emplace_back(found.text(row, 1));
                else
                    ids[missing[found.integer(row, 0) - 1]] = found.integer(row, 1);
                if (age == 1)
                    old.emplace_back(found.text(row, 1));
            }
            std::erase_if(missing, [&](uint32_t place) {
                if (ids[place] == 0)
                    return false;
                cache.note(items[place].hash, {ids[place], now});
                return true;
            });
        };
        look();
        if (!forgotten.empty()) {
            pg::execute(table.claim, forgotten);
            look();
        }
        if (!missing.empty()) {
            pg::TextColumns rows;
            for (const uint32_t place : missing)
                add(rows, items[place]);
            const std::vector<pg::Argument> columns = rows.arguments<pg::Argument>();
            pg::execute(table.insert, std::span<const pg::Argument>(columns));
            look();
        }
        if (!missing.empty()) // this transaction's snapshot is too old to see it
            throw pg::error(ERRCODE_T_R_SERIALIZATION_FAILURE,
                            std::string("could not serialize access due to a concurrent insert into otel.") +
                                table.name)
                .hint("Retry the transaction.");
        if (!old.empty())
            pg::execute(table.touch, old);
        return 0;
    });
}

void check_identity() {
    struct Identity {
        Oid table, content;
    };
    Identity identities[4];
    pg::call([&] {
        const Oid schema = get_namespace_oid("otel", false);
        int place = 0;
        for (const char *name : {"resources", "scopes", "metrics", "series"}) {
            const Oid table = get_relname_relid(name, schema);
            const HeapTuple row = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
            identities[place++] = {table, HeapTupleIsValid(row)
                                              ? reinterpret_cast<Form_pg_class>(GETSTRUCT(row))->relfilenode
                                              : InvalidOid};
            if (HeapTupleIsValid(row))
                ReleaseSysCache(row);
        }
    });
    int place = 0;
    caches().each([&](Cache &cache) {
        cache.is_of(identities[place].table, identities[place].content);
        ++place;
    });
}

} // namespace

Dimensions find_dimensions(const Batch &batch) {
    Dimensions found;
    check_identity();
    Caches &all = caches();
    const Instant now = GetCurrentTimestamp();
    find(resource_table, all.resources, batch.resources, found.resources, now,
         [](pg::TextColumns &rows, const Resource &resource) {
             rows.add(Cell(hex(resource.hash)), cell(resource.service_name), cell(resource.service_namespace),
                      cell(resource.service_instance_id), cell(resource.node), cell(resource.pod),
                      cell(resource.attributes, true),
                      Cell(std::to_string(pinned_integer(resource.dropped_attributes_count))),
                      cell(resource.schema_url), cell(resource.entity_refs));
         });
    find(scope_table, all.scopes, batch.scopes, found.scopes, now, [](pg::TextColumns &rows, const Scope &scope) {
        rows.add(Cell(hex(scope.hash)), Cell(scope.name), cell(scope.version), cell(scope.attributes, true),
                 Cell(std::to_string(pinned_integer(scope.dropped_attributes_count))), cell(scope.schema_url));
    });
    find(metric_table, all.metrics, batch.metrics, found.metrics, now,
         [&](pg::TextColumns &rows, const Metric &metric) {
             rows.add(Cell(hex(metric.hash)), Cell(metric.name), cell(metric.description), cell(metric.unit),
                      Cell(std::to_string(static_cast<int>(metric.type))),
                      Cell(std::to_string(metric.aggregation_temporality)), Cell(metric.is_monotonic ? "t" : "f"),
                      cell(metric.metadata), Cell(std::to_string(found.resources[metric.resource])),
                      Cell(std::to_string(found.scopes[metric.scope])));
         });
    find(series_table, all.series, batch.series, found.series, now, [&](pg::TextColumns &rows, const Series &series) {
        rows.add(Cell(hex(series.hash)), Cell(std::to_string(found.metrics[series.metric])),
                 cell(series.attributes, true));
    });
    return found;
}

} // namespace dbnet::telemetry
