// Rules and hooks, cached (see configuration.hpp).
#include "telemetry/tables/configuration.hpp"

#include "pg/as_superuser.hpp"
#include "telemetry/tables/jsonb_bytes.hpp"

extern "C" {
#include "catalog/namespace.h"
#include "utils/fmgrprotos.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
}

namespace dbnet::telemetry {
namespace {

const pg::Statement select_rules{
    "SELECT r.rule, r.signal, c.name, c.value::pg_catalog.text FROM otel.pane_rule AS r"
    " LEFT JOIN LATERAL pg_catalog.jsonb_each(r.match) AS c(name, value) ON true ORDER BY r.rule"};
const pg::Statement select_groups{"SELECT r.rule, g.name FROM otel.pane_rule AS r,"
                                  " pg_catalog.unnest(r.group_by) WITH ORDINALITY AS g(name, place)"
                                  " ORDER BY r.rule, g.place"};
const pg::Statement select_hooks{
    "SELECT coalesce(pg_catalog.to_regprocedure(procedure)::pg_catalog.oid, 0::pg_catalog.oid), relation, procedure,"
    " owner::pg_catalog.oid FROM otel.batch_hook ORDER BY procedure"};

struct State {
    Configuration current;
    Oid rules = InvalidOid, hooks = InvalidOid; // tables
    bool is_valid = false;
};

// Flags that an invalidation may touch; the rest is C++ memory that is never freed.
bool is_stale = true;
Oid watched_rules = InvalidOid, watched_hooks = InvalidOid;

extern "C" void dbnet_telemetry_configuration_changed(Datum, Oid relation) {
    if (!OidIsValid(relation) || relation == watched_rules || relation == watched_hooks)
        is_stale = true;
}

std::string stored_jsonb(const char *text) {
    std::string bytes;
    pg::call([&] {
        const Datum value = DirectFunctionCall1(jsonb_in, CStringGetDatum(text));
        bytes.assign(static_cast<const char *>(DatumGetPointer(value)), VARSIZE(DatumGetPointer(value)));
    });
    return bytes;
}

void load(Configuration &loaded) {
    const pg::Result rules = pg::execute(select_rules), groups = pg::execute(select_groups),
                     hooks = pg::execute(select_hooks);
    for (size_t row = 0; row < rules.rows(); ++row) {
        const auto rule = static_cast<int32_t>(rules.integer(row, 0));
        if (loaded.rules.empty() || loaded.rules.back().rule != rule)
            loaded.rules.push_back({rule, rules.text(row, 1) == "logs" ? Signal::logs : Signal::traces, {}, {}});
        if (rules.at(row, 2) != nullptr)
            loaded.rules.back().match.push_back({std::string(rules.text(row, 2)), stored_jsonb(rules.at(row, 3))});
    }
    for (size_t row = 0; row < groups.rows(); ++row)
        for (PaneRule &rule : loaded.rules)
            if (rule.rule == static_cast<int32_t>(groups.integer(row, 0)))
                rule.group_by.emplace_back(groups.text(row, 1));
    for (size_t row = 0; row < hooks.rows(); ++row)
        loaded.hooks.push_back(
            {hooks.oid(row, 0), std::string(hooks.text(row, 1)), std::string(hooks.text(row, 2)), hooks.oid(row, 3)});
}

} // namespace

bool Configuration::has_hook(std::string_view table) const noexcept {
    for (const BatchHook &hook : hooks)
        if (hook.table == table)
            return true;
    return false;
}

bool Configuration::has_rule(Signal signal) const noexcept {
    for (const PaneRule &rule : rules)
        if (rule.signal == signal)
            return true;
    return false;
}

const Configuration &configuration() {
    static Configuration *const current = [] { // never freed
        pg::call([] { CacheRegisterRelcacheCallback(dbnet_telemetry_configuration_changed, Datum{0}); });
        return new Configuration;
    }();
    if (!is_stale)
        return *current;
    pg::call([] {
        const Oid schema = get_namespace_oid("otel", false);
        watched_rules = get_relname_relid("pane_rule", schema);
        watched_hooks = get_relname_relid("batch_hook", schema);
    });
    is_stale = false; // before the look: what changes meanwhile is looked at again
    try {
        *current = pg::as_superuser([] {
            Configuration loaded;
            load(loaded);
            return loaded;
        });
    } catch (...) {
        is_stale = true;
        throw;
    }
    return *current;
}

} // namespace dbnet::telemetry
