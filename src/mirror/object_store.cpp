// dbnet.object and its companions, many keys per statement (see object_store.hpp). Mirror worker.
#include "mirror/object_store.hpp"

#include "mirror/stamp.hpp"
#include "pg/spi.hpp"

namespace dbnet::mirror {

namespace {

// jsonb holds numbers that a double does not; such a document reads as null here.
Json parsed(const char *text) {
    Json value = text ? Json::parse(text, nullptr, false) : Json();
    return value.is_discarded() ? Json() : value;
}

Fields fields_from(const char *text) {
    Fields fields;
    Json values = parsed(text);
    for (auto &[path, value] : values.items())
        fields.emplace(path, std::move(value));
    return fields;
}

std::set<std::string> paths_from(const char *text) {
    return text ? Json::parse(text).get<std::set<std::string>>() : std::set<std::string>();
}

Json to_json(const Fields &fields) {
    Json result = Json::object();
    for (const auto &[path, value] : fields)
        result[path] = storable(value);
    return result;
}

// Messages come from the network.
std::string text_of(const Json &document) {
    return document.dump(-1, ' ', false, Json::error_handler_t::replace);
}

HoldDecision hold_from(const char *decision) {
    // The statement gives 'none' where there is no held change, so that NULL can mean "undecided".
    const std::string_view text = decision ? decision : "";
    if (text == "none")
        return HoldDecision::none;
    if (text == "approved")
        return HoldDecision::approved;
    return text == "rejected" ? HoldDecision::rejected : HoldDecision::waiting;
}

Json key_json(const Key &key) {
    return {{"relation", key.relation}, {"namespace", key.name_space}, {"name", storable(key.name)}};
}

Json optional_text(const std::string &text) {
    return text.empty() ? Json() : storable(text);
}
Json optional_number(uint64_t number) {
    return number == 0 ? Json() : Json(std::to_string(number));
}

Json to_json(const ObjectWrite &write) {
    Json row = key_json(write.key);
    row["field_manager"] = write.field_manager;
    row["seen"] = write.seen.has_value();
    if (write.seen) {
        const Observed &seen = *write.seen;
        row["uid"] = seen.uid;
        row["resource_version"] = seen.resource_version;
        if (seen.generation)
            row["generation"] = *seen.generation;
        row["live"] = seen.live;
        row["managers"] = seen.managers;
        row["health"] = optional_text(seen.health);
        row["controller"] = optional_text(seen.controller);
        row["last_manager"] = optional_text(seen.last_manager);
    }
    row["gone"] = write.gone;
    row["accepted"] = write.accepted;
    row["fresh"] = write.fresh;
    row["created"] = write.created;
    row["applied"] = to_json(write.applied);
    row["base"] = to_json(write.base);
    row["claimed"] = write.claimed;
    row["first_written"] = write.first_written;
    row["stamp"] = optional_text(write.stamp);
    row["phase"] = optional_text(to_text(write.phase));
    row["message"] = optional_text(write.message);
    row["reason"] = optional_text(write.reason);
    row["attempts"] = write.attempts;
    if (write.next_attempt_ms >= 0)
        row["next_attempt_ms"] = write.next_attempt_ms;
    row["transaction"] = optional_number(write.transaction);
    if (write.commit_lsn)
        row["commit_lsn"] = format_lsn(write.commit_lsn);
    return row;
}

Json to_json(const ActuationWrite &write) {
    Json row = key_json(write.key);
    row["operation"] = write.remove ? "delete" : "apply";
    if (!write.remove)
        row["paths"] = write.paths;
    row["transaction"] = optional_number(write.transaction);
    if (write.commit_lsn)
        row["commit_lsn"] = format_lsn(write.commit_lsn);
    if (write.role)
        row["role"] = write.role;
    row["attempt"] = write.attempt;
    if (write.http_status)
        row["http_status"] = write.http_status;
    row["reason"] = optional_text(write.reason);
    row["message"] = optional_text(write.message);
    row["latency_ms"] = write.latency_ms;
    row["forced"] = write.forced;
    return row;
}

// Rows that exist are updated, the others inserted: the UPDATE sees the table as it was before the INSERT. Only the
// worker writes here, so nothing comes between. Versions of one kind are decimals of any length; where they are not,
// the newest word we have is the answer at hand.
pg::Statement save_objects{R"sql(
    WITH w AS MATERIALIZED (
        SELECT w.*
        FROM jsonb_to_recordset($1::jsonb) AS w
            (relation oid, namespace text, name text, field_manager text, seen boolean, uid text, resource_version text,
             generation bigint, live jsonb, managers jsonb, health text, controller text, last_manager text,
             gone boolean, accepted boolean, fresh boolean, created boolean, applied jsonb, base jsonb, claimed text[], first_written text[], stamp text,
             phase text, message text, reason text, attempts integer, next_attempt_ms bigint, transaction xid8, commit_lsn pg_lsn)
        JOIN dbnet.mirrored_relation AS m ON m.relation = w.relation AND m.field_manager = w.field_manager
    ), inserted AS (
        INSERT INTO dbnet.object
            (relation, namespace, name, uid, resource_version, generation, live, managers, base, claimed, applied, first_written,
             stamp, phase, health, message, reason, attempts, next_attempt_at, created_by_us, controller, last_manager,
             commit_transaction, commit_lsn)
        SELECT w.relation, w.namespace, w.name, w.uid, w.resource_version, w.generation, w.live, coalesce(w.managers, '{}'),
               CASE WHEN w.accepted THEN w.base ELSE '{}' END, CASE WHEN w.accepted THEN w.claimed ELSE '{}' END,
               CASE WHEN w.accepted THEN w.applied ELSE '{}' END, w.first_written, w.stamp, w.phase, w.health, w.message, w.reason,
               w.attempts, clock_timestamp() + w.next_attempt_ms * interval '1 ms', w.created, w.controller, w.last_manager,
               w.transaction, w.commit_lsn
        FROM w
        WHERE NOT EXISTS (SELECT FROM dbnet.object AS o
                          WHERE o.relation = w.relation AND o.namespace = w.namespace AND o.name = w.name)
        ON CONFLICT DO NOTHING
    )
    UPDATE dbnet.object AS o SET
        (uid, resource_version, generation, live, managers, health, controller, last_manager) = (
            SELECT CASE WHEN k.is_newer THEN w.uid ELSE o.uid END,
                   CASE WHEN k.is_newer THEN w.resource_version ELSE o.resource_version END,
                   CASE WHEN k.is_newer THEN w.generation ELSE o.generation END,
                   CASE WHEN k.is_newer THEN w.live WHEN NOT w.gone THEN o.live END,
                   CASE WHEN k.is_newer THEN w.managers ELSE o.managers END,
                   CASE WHEN k.is_newer THEN w.health ELSE o.health END,
                   CASE WHEN k.is_newer THEN w.controller ELSE o.controller END,
                   CASE WHEN k.is_newer THEN w.last_manager ELSE o.last_manager END
            FROM (SELECT w.seen AND (o.uid IS DISTINCT FROM w.uid OR o.resource_version IS NULL OR
                                     (length(o.resource_version), o.resource_version COLLATE "C") <=
                                     (length(w.resource_version), w.resource_version COLLATE "C")) AS is_newer) AS k),
        base             = CASE WHEN NOT w.accepted THEN o.base WHEN w.fresh THEN w.base ELSE o.base || w.base END,
        claimed          = CASE WHEN w.accepted THEN w.claimed ELSE o.claimed END,
        applied          = CASE WHEN w.accepted THEN w.applied ELSE o.applied END,
        first_written    = CASE WHEN w.first_written <@ o.first_written THEN o.first_written
                                ELSE ARRAY(SELECT unnest(o.first_written) UNION SELECT unnest(w.first_written)) END,
        stamp            = CASE WHEN w.accepted THEN w.stamp ELSE o.stamp END,
        phase            = w.phase,
        message          = w.message,
        reason           = w.reason,
        attempts         = w.attempts,
        next_attempt_at  = clock_timestamp() + w.next_attempt_ms * interval '1 ms',
        created_by_us    = CASE WHEN w.accepted AND w.fresh THEN w.created ELSE o.created_by_us OR w.created END,
        commit_transaction = coalesce(w.transaction, o.commit_transaction),
        commit_lsn       = coalesce(w.commit_lsn, o.commit_lsn),
        changed_at       = clock_timestamp()
    FROM w
    WHERE o.relation = w.relation AND o.namespace = w.namespace AND o.name = w.name
)sql"};

// jsonb_to_recordset of the keys alone.
#define DBNET_KEYS "jsonb_to_recordset($1::jsonb) AS w (relation oid, namespace text, name text"

pg::Statement forget_objects{"DELETE FROM dbnet.object AS o USING " DBNET_KEYS R"sql()
    WHERE o.relation = w.relation AND o.namespace = w.namespace AND o.name = w.name)sql"};

pg::Statement remove_tombstones{"DELETE FROM dbnet.tombstone AS t USING " DBNET_KEYS R"sql(, tombstone_id bigint)
    WHERE t.relation = w.relation AND t.namespace = w.namespace AND t.name = w.name AND t.id <= w.tombstone_id)sql"};

pg::Statement settle_held{"DELETE FROM dbnet.held_change AS h USING " DBNET_KEYS R"sql()
    WHERE h.relation = w.relation AND h.namespace = w.namespace AND h.name = w.name)sql"};

pg::Statement save_held{R"sql(
    INSERT INTO dbnet.held_change (relation, namespace, name, operation, transaction, reason)
    SELECT w.relation, w.namespace, w.name, w.operation, w.transaction, w.reason
    FROM )sql" DBNET_KEYS R"sql(, operation text, transaction xid8, reason text)
    ON CONFLICT DO NOTHING)sql"};

pg::Statement save_actuations{R"sql(
    INSERT INTO dbnet.actuation (relation, namespace, name, operation, paths, transaction, commit_lsn, role, attempt, http_status,
                                 reason, message, latency_ms, forced)
    SELECT w.relation, w.namespace, w.name, w.operation, w.paths, w.transaction, w.commit_lsn, r.rolname, w.attempt, w.http_status,
           w.reason, w.message, w.latency_ms, w.forced
    FROM )sql" DBNET_KEYS R"sql(, operation text, paths text[], transaction xid8, commit_lsn pg_lsn, role oid,
         attempt integer, http_status integer, reason text, message text, latency_ms double precision, forced boolean)
    LEFT JOIN pg_authid AS r ON r.oid = w.role)sql"};

#undef DBNET_KEYS

pg::Statement load_by_key{R"sql(
    SELECT o.relation IS NOT NULL, o.uid, o.resource_version,
           CASE WHEN $4 THEN o.live
                WHEN o.live #> '{metadata,deletionTimestamp}' IS NOT NULL
                    THEN jsonb_build_object('metadata', jsonb_build_object('deletionTimestamp', o.live #> '{metadata,deletionTimestamp}'))
           END,
           o.base, o.applied, to_jsonb(o.claimed), to_jsonb(o.first_written), o.phase, o.created_by_us, o.controller IS NOT NULL,
           t.id, t.uid,
           CASE WHEN a.id IS NULL THEN 'none' ELSE a.decision END, CASE WHEN d.id IS NULL THEN 'none' ELSE d.decision END
    FROM unnest($1::oid[], $2, $3) WITH ORDINALITY AS k (relation, namespace, name, number)
    LEFT JOIN dbnet.object AS o ON o.relation = k.relation AND o.namespace = k.namespace AND o.name = k.name
    LEFT JOIN LATERAL (SELECT id, uid FROM dbnet.tombstone AS t
                       WHERE t.relation = k.relation AND t.namespace = k.namespace AND t.name = k.name
                       ORDER BY id DESC LIMIT 1) AS t ON true
    LEFT JOIN LATERAL (SELECT id, decision FROM dbnet.held_change AS h
                       WHERE h.relation = k.relation AND h.namespace = k.namespace AND h.name = k.name AND h.operation = 'apply'
                       ORDER BY id DESC LIMIT 1) AS a ON true
    LEFT JOIN LATERAL (SELECT id, decision FROM dbnet.held_change AS h
                       WHERE h.relation = k.relation AND h.namespace = k.namespace AND h.name = k.name AND h.operation = 'delete'
                       ORDER BY id DESC LIMIT 1) AS d ON true
    ORDER BY k.number
)sql"};

pg::Statement count_of_relation{"SELECT count(*) FROM dbnet.object WHERE relation = $1"};

pg::Statement pending_keys{R"sql(
    SELECT p.namespace, p.name
    FROM (SELECT namespace, name FROM dbnet.tombstone WHERE relation = $1
          UNION SELECT namespace, name FROM dbnet.held_change WHERE relation = $1 AND decision IS NOT NULL
          UNION SELECT namespace, name FROM dbnet.object
                WHERE relation = $1 AND phase IN ('pending', 'applying', 'uncertain', 'deleting', 'waiting_deleted', 'fighting')) AS p
    WHERE (p.namespace, p.name) > ($2, $3)
    ORDER BY p.namespace, p.name
    LIMIT $4
)sql"};

} // namespace

std::vector<StoredObject> load_objects(std::span<const Key> keys, bool with_live) {
    std::vector<std::string> relations, name_spaces, names;
    for (const Key &key : keys) {
        relations.push_back(std::to_string(key.relation));
        name_spaces.push_back(key.name_space);
        names.push_back(key.name);
    }
    const pg::Result rows = pg::execute(load_by_key, relations, name_spaces, names, with_live);
    std::vector<StoredObject> stored(rows.rows());
    for (size_t row = 0; row < rows.rows(); row++) {
        StoredObject &found = stored[row];
        if (rows.boolean(row, 0)) {
            ObjectRecord &object = found.object.emplace();
            object.uid = rows.text(row, 1);
            object.resource_version = rows.text(row, 2);
            object.live = parsed(rows.at(row, 3));
            object.base = fields_from(rows.at(row, 4));
            object.applied = fields_from(rows.at(row, 5));
            object.claimed = paths_from(rows.at(row, 6));
            object.first_written = paths_from(rows.at(row, 7));
            object.phase = parse_phase(rows.text(row, 8)).value_or(Phase::none);
            object.created_by_us = rows.boolean(row, 9);
            object.controlled = rows.boolean(row, 10);
        }
        if (rows.at(row, 11)) {
            found.tombstone_id = rows.integer(row, 11);
            found.tombstone.emplace().uid = rows.text(row, 12);
        }
        found.apply_hold = hold_from(rows.at(row, 13));
        found.delete_hold = hold_from(rows.at(row, 14));
    }
    return stored;
}

void save(std::span<const ObjectWrite> objects, std::span<const ActuationWrite> actuations,
          std::span<const HeldWrite> held) {
    Json changed = Json::array(), forgotten = Json::array(), tombstones = Json::array(), settled = Json::array();
    for (const ObjectWrite &write : objects) {
        if (write.forget)
            forgotten.push_back(key_json(write.key));
        else
            changed.push_back(to_json(write));
        if (write.tombstone_id > 0) {
            tombstones.push_back(key_json(write.key));
            tombstones.back()["tombstone_id"] = write.tombstone_id;
        }
        if (write.settles_hold)
            settled.push_back(key_json(write.key));
    }
    Json log = Json::array();
    for (const ActuationWrite &write : actuations)
        log.push_back(to_json(write));
    Json holds = Json::array();
    for (const HeldWrite &write : held) {
        Json row = key_json(write.key);
        row["operation"] = write.remove ? "delete" : "apply";
        row["transaction"] = optional_number(write.transaction);
        row["reason"] = write.reason;
        holds.push_back(std::move(row));
    }
    const auto run = [](const pg::Statement &statement, const Json &rows) {
        if (!rows.empty())
            pg::execute(statement, text_of(rows));
    };
    run(save_objects, changed);
    run(forget_objects, forgotten);
    run(remove_tombstones, tombstones);
    run(settle_held, settled);
    run(save_held, holds);
    run(save_actuations, log);
}

int64_t count_objects(uint32_t relation) {
    return pg::execute(count_of_relation, Oid{relation}).integer(0, 0);
}

std::vector<Key> load_pending_keys(uint32_t relation, const Key *after, int limit) {
    const pg::Result rows = pg::execute(pending_keys, Oid{relation}, after ? after->name_space : std::string(),
                                        after ? after->name : std::string(), limit);
    std::vector<Key> keys;
    for (size_t row = 0; row < rows.rows(); row++)
        keys.push_back({relation, std::string(rows.text(row, 0)), std::string(rows.text(row, 1))});
    return keys;
}

} // namespace dbnet::mirror
