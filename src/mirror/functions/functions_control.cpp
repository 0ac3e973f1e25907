// What operators do with mirrors: pause, resume, resync, retry, claim, approve, reject, and what TRUNCATE does. Whom
// they may be called by is decided by EXECUTE (99_grants.sql). Runs in backends.
#include "capture/capture.hpp"
#include "mirror/definition/mirror_store.hpp"
#include "mirror/functions/as_extension.hpp"
#include "mirror/functions/mirrored_rows.hpp"
#include "mirror/functions/sql_arguments.hpp"
#include "mirror/key.hpp"
#include "mirror/store/catalog.hpp"
#include "mirror/store/instance.hpp"

#include <charconv>

extern "C" {
#include "access/xlog.h"
#include "commands/trigger.h"
#include "utils/builtins.h"
#include "utils/rel.h"
}

namespace dbnet::mirror {
namespace {

const pg::Statement find_server{
    "SELECT FROM pg_foreign_server JOIN pg_foreign_data_wrapper AS wrapper ON wrapper.oid = srvfdw"
    " WHERE srvname = $1 AND fdwname = 'dbnet_kubernetes'"};
const pg::Statement find_relation{"SELECT relation::oid FROM dbnet.mirrored_relation WHERE relation = to_regclass($1)"};

const pg::Statement pause_server{
    "INSERT INTO dbnet.paused_server (server, reason, paused_by) VALUES ($1::name, $2, $3::name)"
    " ON CONFLICT (server) DO UPDATE SET reason = excluded.reason, paused_by = excluded.paused_by, paused_at = "
    "excluded.paused_at"};
const pg::Statement pause_relation{
    "UPDATE dbnet.mirrored_relation SET paused_reason = $2, paused_by = $3::name, paused_at = now(),"
    " generation = nextval('dbnet.generation') WHERE relation = $1"};
const pg::Statement resume_server{"DELETE FROM dbnet.paused_server WHERE server = $1::name"};
const pg::Statement resume_relation{
    "UPDATE dbnet.mirrored_relation SET paused_reason = NULL, paused_by = NULL, paused_at = NULL,"
    " generation = nextval('dbnet.generation') WHERE relation = $1 AND paused_reason IS NOT NULL"};

const pg::Statement find_unsettled{
    "SELECT namespace, name FROM dbnet.object AS o WHERE relation = $1 AND phase <> 'synced'"
    " AND NOT EXISTS (SELECT FROM dbnet.held_change AS h WHERE h.relation = o.relation AND h.namespace = o.namespace"
    " AND h.name = o.name AND h.decision IS NULL)" // waits for a decision, and not for another try
    " AND ($2 IS NULL OR CASE WHEN namespace = '' THEN name ELSE namespace || '/' || name END = $2"
    " OR name = $2 AND namespace = (SELECT m.namespace FROM dbnet.mirrored_relation AS m WHERE m.relation = $1))"};

// What was never seen at the server was in the table alone. Of the rest everything stays but what row and object agreed
// on: the next list brings rows that are missing, and what is written into others meanwhile counts as a change.
const pg::Statement forget_unsent{"DELETE FROM dbnet.object WHERE relation = $1 AND uid IS NULL"};
const pg::Statement forget_rows{"UPDATE dbnet.object SET base = '{}' WHERE relation = $1"};

// A group is what one transaction did to one mirror in one way; any of its numbers names it.
const pg::Statement find_held{"SELECT held.id, held.relation::oid, held.namespace, held.name, held.operation"
                              " FROM dbnet.held_change AS named JOIN dbnet.held_change AS held"
                              " ON held.relation = named.relation AND held.operation = named.operation"
                              " AND held.transaction IS NOT DISTINCT FROM named.transaction AND held.decision IS NULL"
                              " WHERE named.id = $1 ORDER BY held.id FOR UPDATE OF held"};
const pg::Statement decide{
    "UPDATE dbnet.held_change AS held SET decision = $3, decided_by = $4::name, decided_at = now(),"
    " decided_in = pg_current_xact_id(), row_digest = nullif(v.row_digest, '')::jsonb"
    " FROM unnest($1::bigint[], $2::text[]) AS v (id, row_digest) WHERE held.id = v.id"};
const pg::Statement find_digest_key{"SELECT key FROM dbnet.digest_key"};
// Values as the worker sees them, whatever the session's settings are; until the caller's rights are back.
const pg::Statement fix_forms{
    "SELECT set_config('bytea_output', 'hex', true), set_config('extra_float_digits', '1', true),"
    " set_config('intervalstyle', 'postgres', true)"};

const pg::Statement claim_database{
    "INSERT INTO dbnet.arming AS known (system_identifier, database, term, claimed_by) VALUES ($1, $2, 1, $3)"
    " ON CONFLICT (singleton) DO UPDATE SET system_identifier = excluded.system_identifier, database = "
    "excluded.database, term = known.term + 1, claimed_by = excluded.claimed_by, older_than = NULL"};

// A server, or the mirror on a table.
struct ControlTarget {
    bool is_server = false;
    Oid relation = InvalidOid;
};

ControlTarget find_control_target(const std::string &name) {
    ControlTarget target;
    target.is_server = pg::execute(find_server, name).affected() > 0;
    const pg::Result relation = pg::execute(find_relation, name);
    if (relation.rows() > 0)
        target.relation = relation.oid(0, 0);
    if (!target.is_server && !OidIsValid(target.relation))
        throw pg::error(ERRCODE_UNDEFINED_OBJECT,
                        "there is no Kubernetes API server and no mirror called \"" + name + "\"")
            .hint("Give a foreign server, or a mirror with its schema: 'net.nodes'. dbnet.mirror_status lists both.");
    if (target.is_server && OidIsValid(target.relation))
        throw pg::error(ERRCODE_AMBIGUOUS_ALIAS, "\"" + name + "\" is a server and a mirror")
            .hint("Give the mirror with its schema.");
    return target;
}

void note_changes(const std::vector<Key> &objects) {
    for (const Key &object : objects)
        capture::record_change(object.relation, 'A', object.name_space, object.name);
}

// What the rows of these keys of one mirror hold now, as RowDigest keeps it; empty: there is none, or nobody can tell.
std::vector<std::string> digests_of_rows(const std::vector<Key> &keys) {
    std::vector<std::string> digests(keys.size());
    const std::optional<Mirror> mirror = load_mirror(keys.front().relation);
    if (!mirror || !mirror->problem.empty())
        return digests;
    const std::string digest_key(pg::execute(find_digest_key).text(0, 0));
    const std::set<std::string> foreign = columns_of_foreign_types(*mirror); // the worker may see them in another form
    pg::execute(fix_forms);
    const std::vector<std::optional<Json>> rows = find_rows(*mirror, keys);
    for (size_t i = 0; i < rows.size(); i++) {
        const RowFields row = rows[i] ? mirror->mapping.to_object_form(*rows[i]) : RowFields();
        if (!rows[i] || !row.errors.empty())
            continue;
        Json hashes = RowDigest(mirror->mapping, row, digest_key).hashes();
        for (const Column &column : mirror->mapping.columns)
            if (foreign.contains(column.name))
                hashes.erase(column.path);
        digests[i] = hashes.dump();
    }
    return digests;
}

int64 decide_held(FunctionCallInfo call_info, const char *decision) {
    const std::string id = required(text_argument(call_info, 0), "id");
    const std::string caller = caller_name();
    int64 number = 0;
    const auto [end, failure] = std::from_chars(id.data(), id.data() + id.size(), number);
    if (failure != std::errc() || end != id.data() + id.size())
        throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE, "\"" + id + "\" is not the id of a held change")
            .hint("SELECT id, relation, operation, objects FROM dbnet.held;");
    std::vector<Key> objects;
    pg::in_spi([&] {
        as_extension([&] {
            const pg::Result held = pg::execute(find_held, number);
            if (held.rows() == 0)
                throw pg::error(ERRCODE_UNDEFINED_OBJECT, "nothing is held under id " + id)
                    .detail("It was decided or settled already, or never held.")
                    .hint("SELECT id, relation, operation, objects FROM dbnet.held;");
            std::vector<std::string> ids;
            for (size_t i = 0; i < held.rows(); i++) {
                ids.emplace_back(held.text(i, 0));
                objects.push_back({held.oid(i, 1), std::string(held.text(i, 2)), std::string(held.text(i, 3))});
            }
            const bool is_rejected_apply = std::string_view(decision) == "rejected" && held.text(0, 4) == "apply";
            pg::execute(decide, ids,
                        is_rejected_apply ? digests_of_rows(objects) : std::vector<std::string>(ids.size()), decision,
                        caller);
        });
    });
    note_changes(objects);
    return static_cast<int64>(objects.size());
}

} // namespace

DBNET_FUNCTION(dbnet_pause) {
    const std::string name = required(text_argument(fcinfo, 0), "target");
    const std::string reason = required(text_argument(fcinfo, 1), "reason");
    if (reason.find_first_not_of(' ') == std::string::npos)
        throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE, "argument reason is empty")
            .hint("Say why, for whoever finds it paused: reason => 'incident 42'.");
    const std::string caller = caller_name();
    pg::in_spi([&] {
        as_extension([&] {
            const ControlTarget target = find_control_target(name);
            if (target.is_server)
                pg::execute(pause_server, name, reason, caller);
            else
                pg::execute(pause_relation, target.relation, reason, caller);
        });
    });
    PG_RETURN_VOID();
}

DBNET_FUNCTION(dbnet_resume) {
    const std::string name = required(text_argument(fcinfo, 0), "target");
    const uint64 resumed = pg::in_spi([&] {
        return as_extension([&] {
            const ControlTarget target = find_control_target(name);
            return target.is_server ? pg::execute(resume_server, name).affected()
                                    : pg::execute(resume_relation, target.relation).affected();
        });
    });
    PG_RETURN_BOOL(resumed > 0);
}

DBNET_FUNCTION(dbnet_capture_truncate) {
    if (!CALLED_AS_TRIGGER(fcinfo) ||
        !TRIGGER_FIRED_BY_TRUNCATE(reinterpret_cast<const TriggerData *>(fcinfo->context)->tg_event))
        throw pg::error(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED, "dbnet.capture_truncate() is a trigger of TRUNCATE");
    const Oid relation = reinterpret_cast<const TriggerData *>(fcinfo->context)->tg_relation->rd_id;
    pg::in_spi([&] {
        as_extension([&] {
            pg::execute(forget_unsent, relation);
            pg::execute(forget_rows, relation);
        });
    });
    capture::record_change(relation, 'C');
    return Datum{0};
}

DBNET_FUNCTION(dbnet_resync) {
    const Oid relation = required_relation(fcinfo, 0, "relation");
    pg::in_spi([&] { as_extension([&] { required_mirror(relation); }); });
    capture::record_change(relation, 'C');
    PG_RETURN_VOID();
}

DBNET_FUNCTION(dbnet_retry) {
    const Oid relation = required_relation(fcinfo, 0, "relation");
    const std::optional<std::string> key = text_argument(fcinfo, 1);
    std::vector<Key> objects;
    pg::in_spi([&] {
        as_extension([&] {
            required_mirror(relation);
            const pg::Result found = pg::execute(find_unsettled, relation, key);
            for (size_t i = 0; i < found.rows(); i++)
                objects.push_back({relation, std::string(found.text(i, 0)), std::string(found.text(i, 1))});
        });
    });
    note_changes(objects);
    PG_RETURN_INT64(static_cast<int64>(objects.size()));
}

DBNET_FUNCTION(dbnet_claim) {
    const auto system_identifier = static_cast<int64>(pg::call([] { return GetSystemIdentifier(); }));
    pg::in_spi([&] {
        as_extension([&] { pg::execute(claim_database, system_identifier, MyDatabaseId, instance_identity()); });
    });
    PG_RETURN_VOID();
}

DBNET_FUNCTION(dbnet_approve) {
    PG_RETURN_INT64(decide_held(fcinfo, "approved"));
}
DBNET_FUNCTION(dbnet_reject) {
    PG_RETURN_INT64(decide_held(fcinfo, "rejected"));
}

} // namespace dbnet::mirror
