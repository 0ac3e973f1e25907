// dbnet.object and its companions, many keys per statement (see object_store.hpp). Mirror worker.
#include "mirror/store/object_store.hpp"

#include "mirror/decision/stamp.hpp"
#include "mirror/store/written_rows.hpp"
#include "provenance/record/event_clock.hpp"

#include <algorithm>
#include <map>

namespace dbnet::mirror {

namespace {

using Cell = pg::TextColumns::Cell;

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

void take_owners(ObjectRecord &object, const Fields &managers, std::string_view field_manager) {
    for (const auto &[path, owner] : managers) {
        if (owner.at(0).get_ref<const std::string &>() != field_manager)
            object.others.emplace(path, owner.at(0).get<std::string>());
        if (owner.size() > 2)
            object.shared.insert(path);
    }
}

std::string text_of(const Fields &fields) {
    Json document = Json::object();
    for (const auto &[path, value] : fields)
        document[path] = storable(value);
    return document.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Cell known(std::string_view text) {
    return text.empty() ? Cell() : Cell(text);
}
Cell number(uint64_t number) {
    return number == 0 ? Cell() : Cell(std::to_string(number));
}
Cell position(uint64_t lsn) {
    return lsn == 0 ? Cell() : Cell(format_lsn(lsn));
}
// Transaction and position; what a compare found has neither.
Cell commit_of(const ObjectWrite &write) {
    return write.transaction == 0 ? Cell()
                                  : Cell(std::to_string(write.transaction) + ' ' + format_lsn(write.commit_lsn));
}
std::string truth(bool value) {
    return value ? "t" : "f";
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

// Versions of one kind are decimals of any length; where they are not, the newest word we have is the answer at hand.
pg::Statement save_objects{R"sql(
    MERGE INTO dbnet.object AS o USING (
        SELECT v.*, v.live IS NOT NULL AND (k.uid IS DISTINCT FROM v.uid OR k.resource_version IS NULL OR
                                            (length(k.resource_version), k.resource_version COLLATE "C") <=
                                            (length(v.resource_version), v.resource_version COLLATE "C")) AS is_newer
        FROM (SELECT relation::oid, namespace, name, field_manager, uid, resource_version, generation::bigint,
                     live::jsonb, managers::jsonb, health, health_message, controller, last_manager,
                     gone, accepted::boolean, fresh::boolean, created::boolean,
                     applied::jsonb, base::jsonb, claimed::text[], first_written::text[], stamp,
                     phase, message, reason, attempts::integer,
                     clock_timestamp() + next_attempt_ms::bigint * interval '1 ms' AS next_attempt_at,
                     split_part(commit, ' ', 1)::xid8 AS transaction, split_part(commit, ' ', 2)::pg_lsn AS commit_lsn, released::text[], missing::text[],
                     last_actuation::bigint, (SELECT r.rolname FROM pg_authid AS r WHERE r.oid = committer::oid) AS committer
              FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,
                          $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32) AS v
                  (relation, namespace, name, field_manager, uid, resource_version, generation,
                   live, managers, health, health_message, controller, last_manager,
                   gone, accepted, fresh, created, applied, base, claimed, first_written, stamp,
                   phase, message, reason, attempts, next_attempt_ms, commit, released, missing,
                   last_actuation, committer)) AS v
        JOIN dbnet.mirrored_relation AS m ON m.relation = v.relation AND m.field_manager = v.field_manager
        LEFT JOIN dbnet.object AS k ON k.relation = v.relation AND k.namespace = v.namespace AND k.name = v.name) AS w
    ON o.relation = w.relation AND o.namespace = w.namespace AND o.name = w.name
    WHEN NOT MATCHED THEN INSERT
        (relation, namespace, name, uid, resource_version, generation, live, managers, base, claimed, applied,
         first_written, stamp, phase, health, health_message, message, reason, attempts, next_attempt_at, created_by_us, controller,
         last_manager, commit_transaction, commit_lsn, committer, last_actuation)
        VALUES (w.relation, w.namespace, w.name, w.uid, w.resource_version, w.generation, w.live,
                coalesce(w.managers, '{}'), CASE WHEN w.accepted THEN w.base ELSE '{}' END,
                CASE WHEN w.accepted THEN w.claimed ELSE '{}' END, CASE WHEN w.accepted THEN w.applied ELSE '{}' END,
                w.first_written, w.stamp, w.phase, w.health, w.health_message, w.message, w.reason, w.attempts,
                w.next_attempt_at, w.created, w.controller, w.last_manager, w.transaction, w.commit_lsn,
                w.committer, w.last_actuation)
    WHEN MATCHED THEN UPDATE SET
        uid              = CASE WHEN w.is_newer THEN w.uid ELSE o.uid END,
        resource_version = CASE WHEN w.is_newer THEN w.resource_version ELSE o.resource_version END,
        generation       = CASE WHEN w.is_newer THEN w.generation ELSE o.generation END,
        live             = CASE WHEN w.is_newer THEN w.live WHEN w.gone IS DISTINCT FROM o.uid THEN o.live END,
        managers         = CASE WHEN w.is_newer THEN w.managers ELSE o.managers END,
        health           = CASE WHEN w.is_newer THEN w.health ELSE o.health END,
        health_message   = CASE WHEN w.is_newer THEN w.health_message ELSE o.health_message END,
        controller       = CASE WHEN w.is_newer THEN w.controller ELSE o.controller END,
        last_manager     = CASE WHEN w.is_newer THEN w.last_manager ELSE o.last_manager END,
        base             = CASE WHEN w.accepted AND w.fresh THEN w.base WHEN w.accepted THEN (o.base - w.missing) || w.base
                                WHEN w.released <> '{}' THEN (o.base - w.missing - w.released) || w.base
                                ELSE o.base - w.missing END,
        claimed          = CASE WHEN w.accepted THEN w.claimed
                                WHEN w.released <> '{}'
                                    THEN ARRAY(SELECT path FROM unnest(o.claimed) AS path WHERE path <> ALL (w.released))
                                ELSE o.claimed END,
        applied          = CASE WHEN w.accepted THEN w.applied
                                ELSE o.applied - w.released - ARRAY(SELECT jsonb_object_keys(w.applied)) END,
        first_written    = CASE WHEN w.released <> '{}'
                                    THEN ARRAY(SELECT path FROM unnest(o.first_written) AS path WHERE path <> ALL (w.released))
                                WHEN w.first_written <@ o.first_written THEN o.first_written
                                ELSE ARRAY(SELECT unnest(o.first_written) UNION SELECT unnest(w.first_written)) END,
        stamp            = CASE WHEN w.accepted THEN w.stamp ELSE o.stamp END,
        phase            = w.phase,
        message          = w.message,
        reason           = w.reason,
        attempts         = w.attempts,
        next_attempt_at  = w.next_attempt_at,
        created_by_us    = w.created OR o.created_by_us AND NOT (w.accepted AND w.fresh AND o.uid IS DISTINCT FROM w.uid),
        commit_transaction = coalesce(w.transaction, o.commit_transaction),
        commit_lsn       = coalesce(w.commit_lsn, o.commit_lsn),
        committer        = coalesce(w.committer, o.committer),
        last_actuation   = coalesce(w.last_actuation, o.last_actuation),
        replacing        = CASE WHEN NOT w.accepted THEN o.replacing END,
        changed_at       = clock_timestamp()
)sql"};

void add(pg::TextColumns &rows, const ObjectWrite &write, uint64_t last_actuation) {
    static const Observed unseen;
    const Observed &seen = write.seen ? *write.seen : unseen;
    rows.add(
        std::to_string(write.key.relation), write.key.name_space, write.key.name, write.field_manager, known(seen.uid),
        known(seen.resource_version), seen.generation ? Cell(std::to_string(*seen.generation)) : Cell(),
        write.seen ? Cell(seen.live) : Cell(), write.seen ? Cell(seen.managers.dump()) : Cell(), known(seen.health),
        known(seen.health_message), known(seen.controller), known(seen.last_manager), known(write.gone_uid),
        truth(write.accepted), truth(write.fresh), truth(write.created || write.adopted), text_of(write.applied),
        text_of(write.base), pg::array_text(write.claimed), pg::array_text(write.first_written), known(write.stamp),
        known(to_text(write.phase)), words(write.message), words(write.reason), std::to_string(write.attempts),
        write.next_attempt_ms >= 0 ? Cell(std::to_string(write.next_attempt_ms)) : Cell(), commit_of(write),
        pg::array_text(write.released), pg::array_text(write.missing), number(last_actuation), number(write.committer));
}

pg::Statement save_replacing{R"sql(
    UPDATE dbnet.object AS o SET replacing = w.uid FROM unnest($1::oid[], $2, $3, $4) AS w (relation, namespace, name, uid)
    WHERE o.relation = w.relation AND o.namespace = w.namespace AND o.name = w.name)sql"};

#define DBNET_KEYS "unnest($1::oid[], $2, $3) AS w (relation, namespace, name)"

pg::Statement forget_objects{"DELETE FROM dbnet.object AS o USING " DBNET_KEYS R"sql(
    WHERE o.relation = w.relation AND o.namespace = w.namespace AND o.name = w.name)sql"};

pg::Statement settle_held{"DELETE FROM dbnet.held_change AS h USING " DBNET_KEYS R"sql(
    WHERE h.relation = w.relation AND h.namespace = w.namespace AND h.name = w.name AND h.operation IN ('apply', 'delete'))sql"};

#undef DBNET_KEYS

// The last body stays for dbnet.undo(), which gives no Secret its values back.
pg::Statement remove_tombstones{R"sql(
    WITH gone AS (
        DELETE FROM dbnet.tombstone AS t USING unnest($1::oid[], $2, $3, $4::bigint[]) AS w (relation, namespace, name, id)
        WHERE t.relation = w.relation AND t.namespace = w.namespace AND t.name = w.name AND t.id <= w.id
        RETURNING t.relation, t.namespace, t.name, t.transaction, t.last_body, t.at)
    INSERT INTO dbnet.deleted_object (relation, namespace, name, transaction, last_body, at)
    SELECT g.relation, g.namespace, g.name, g.transaction,
           CASE WHEN m.api_version = 'v1' AND m.kind = 'Secret' THEN g.last_body - '{data,stringData}'::text[] ELSE g.last_body END, g.at
    FROM gone AS g LEFT JOIN dbnet.mirrored_relation AS m ON m.relation = g.relation WHERE g.last_body IS NOT NULL)sql"};

pg::Statement remove_requests{R"sql(
    DELETE FROM dbnet.ownership_request AS r USING unnest($1::oid[], $2, $3, $4, $5::bigint[]) AS w (relation, namespace, name, operation, id)
    WHERE r.relation = w.relation AND r.namespace = w.namespace AND r.name = w.name AND r.operation = w.operation AND r.id <= w.id)sql"};

pg::Statement save_held{R"sql(
    INSERT INTO dbnet.held_change (relation, namespace, name, operation, transaction, reason)
    SELECT relation, namespace, name, operation, transaction, reason
    FROM unnest($1::oid[], $2, $3, $4, $5::xid8[], $6) AS w (relation, namespace, name, operation, transaction, reason)
    ON CONFLICT (relation, namespace, name, operation) WHERE decision IS NULL
    DO UPDATE SET transaction = excluded.transaction, reason = excluded.reason, since = excluded.since)sql"};

pg::Statement save_actuations{R"sql(
    INSERT INTO dbnet.actuation (id, cause, relation, namespace, name, operation, paths, transaction, commit_lsn, role,
                                 attempt, http_status, reason, message, latency_ms, forced, warnings, at, acts_as)
    SELECT w.id::bigint, w.cause::bigint, w.relation::oid, w.namespace, w.name, w.operation, w.paths::text[],
           w.transaction::xid8, w.commit_lsn::pg_lsn, r.rolname, w.attempt::integer, w.http_status::integer, w.reason, w.message, w.latency_ms::double precision,
           w.forced::boolean, w.warnings::text[], timestamptz 'epoch' + w.at::bigint * interval '1 microsecond', w.acts_as
    FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19) AS w
         (id, cause, relation, namespace, name, operation, paths, transaction, commit_lsn, role, attempt, http_status, reason,
          message, latency_ms, forced, warnings, at, acts_as)
    LEFT JOIN pg_authid AS r ON r.oid = w.role::oid)sql"};

void add(pg::TextColumns &rows, const ActuationWrite &write, uint64_t id) {
    rows.add(std::to_string(id), number(write.cause), std::to_string(write.key.relation), write.key.name_space,
             write.key.name, write.operation, write.paths.empty() ? Cell() : Cell(pg::array_text(write.paths)),
             number(write.transaction), position(write.commit_lsn), number(write.role), std::to_string(write.attempt),
             number(write.http_status), words(write.reason), words(write.message), std::to_string(write.latency_ms),
             truth(write.forced), write.warnings.empty() ? Cell() : Cell(pg::array_text(write.warnings)),
             std::to_string(duration_cast<std::chrono::microseconds>(write.at.time_since_epoch()).count()),
             known(write.acts_as));
}

void add_key(pg::TextColumns &rows, const Key &key) {
    rows.add(std::to_string(key.relation), key.name_space, key.name);
}

// Keys on their way into a statement.
struct KeyArrays {
    explicit KeyArrays(std::span<const Key> keys) {
        for (const Key &key : keys) {
            relations.push_back(std::to_string(key.relation));
            name_spaces.push_back(key.name_space);
            names.push_back(key.name);
        }
    }
    std::vector<std::string> relations, name_spaces, names;
};

pg::Statement load_by_key{R"sql(
    SELECT o.relation IS NOT NULL, o.uid, o.resource_version,
           CASE WHEN $4 THEN o.live
                WHEN o.live #> '{metadata,deletionTimestamp}' IS NOT NULL
                    THEN jsonb_build_object('metadata', jsonb_build_object('deletionTimestamp', o.live #> '{metadata,deletionTimestamp}'))
           END,
           o.base, o.applied, to_jsonb(o.claimed), to_jsonb(o.first_written), o.phase, o.created_by_us, o.controller IS NOT NULL,
           t.id, t.uid,
           CASE WHEN a.id IS NULL THEN 'none' ELSE a.decision END, CASE WHEN d.id IS NULL THEN 'none' ELSE d.decision END,
           o.stamp, r.release_id, r.releases,
           CASE WHEN $4 THEN o.managers END,
           CASE WHEN $4 THEN (SELECT field_manager FROM dbnet.mirrored_relation AS m WHERE m.relation = k.relation) END,
           r.adoption_id, r.adopted, r.is_object_adopted, r.expectation_id, r.expected_version, o.last_actuation,
           o.replacing = o.uid, o.live IS NULL, o.attempts, coalesce(a.transaction, '0'), coalesce(d.transaction, '0'),
           coalesce(a.decided_in, '0'), coalesce(d.decided_in, '0'),
           r.restoration_id, (SELECT b.last_body FROM dbnet.deleted_object AS b WHERE b.id = r.deleted_object),
           CASE a.decision WHEN 'rejected' THEN a.row_digest END,
           CASE a.decision WHEN 'rejected' THEN (SELECT key FROM dbnet.digest_key) END,
           t.created_by_us
    FROM unnest($1::oid[], $2, $3) WITH ORDINALITY AS k (relation, namespace, name, number)
    LEFT JOIN dbnet.object AS o ON o.relation = k.relation AND o.namespace = k.namespace AND o.name = k.name
    LEFT JOIN LATERAL (SELECT id, uid, created_by_us FROM dbnet.tombstone AS t
                       WHERE t.relation = k.relation AND t.namespace = k.namespace AND t.name = k.name
                       ORDER BY id DESC LIMIT 1) AS t ON true
    LEFT JOIN LATERAL (SELECT id, decision, transaction, decided_in, row_digest FROM dbnet.held_change AS h
                       WHERE h.relation = k.relation AND h.namespace = k.namespace AND h.name = k.name AND h.operation = 'apply'
                       ORDER BY id DESC LIMIT 1) AS a ON true
    LEFT JOIN LATERAL (SELECT id, decision, transaction, decided_in FROM dbnet.held_change AS h
                       WHERE h.relation = k.relation AND h.namespace = k.namespace AND h.name = k.name AND h.operation = 'delete'
                       ORDER BY id DESC LIMIT 1) AS d ON true
    LEFT JOIN LATERAL (SELECT max(id) FILTER (WHERE operation = 'release') AS release_id,
                              jsonb_object_agg(path, value ORDER BY id) FILTER (WHERE operation = 'release') AS releases,
                              max(id) FILTER (WHERE operation = 'adopt') AS adoption_id,
                              jsonb_agg(path) FILTER (WHERE operation = 'adopt' AND path IS NOT NULL) AS adopted,
                              bool_or(path IS NULL) FILTER (WHERE operation = 'adopt') AS is_object_adopted,
                              max(id) FILTER (WHERE operation = 'expect') AS expectation_id,
                              max(value #>> '{}') FILTER (WHERE operation = 'expect') AS expected_version,
                              max(id) FILTER (WHERE operation = 'restore') AS restoration_id,
                              max(value::bigint) FILTER (WHERE operation = 'restore') AS deleted_object
                       FROM dbnet.ownership_request AS q
                       WHERE q.relation = k.relation AND q.namespace = k.namespace AND q.name = k.name) AS r ON true
    ORDER BY k.number
)sql"};

// What the server has refused for now counts as well; what it has made has a uid.
pg::Statement load_awaited_objects{R"sql(
    SELECT DISTINCT ON (k.relation, k.namespace, k.name)
           k.relation, k.namespace, k.name, o.relation::oid, o.namespace, o.name
    FROM unnest($1::oid[], $2, $3) AS k (relation, namespace, name)
    JOIN dbnet.tombstone AS t ON t.relation = k.relation AND t.namespace = k.namespace AND t.name = k.name
    JOIN dbnet.object AS o ON o.commit_transaction = t.transaction AND o.phase <> 'synced' AND o.uid IS NULL
                              AND (o.relation, o.namespace, o.name) <> (k.relation, k.namespace, k.name)
    ORDER BY k.relation, k.namespace, k.name, o.relation, o.namespace, o.name
)sql"};

#define DBNET_VERSIONS_OF_KEY                                                                                          \
    "dbnet.entity_version AS v"                                                                                        \
    " WHERE v.relation = t.number AND v.key_hash = dbnet.key_hash(t.key_columns,"                                      \
    " CASE cardinality(t.key_columns) WHEN 1 THEN jsonb_build_object(t.key_columns[1], k.name)"                        \
    " ELSE jsonb_build_object(t.key_columns[1], k.namespace, t.key_columns[2], k.name) END)"                           \
    " ORDER BY v.id DESC"

pg::Statement load_newest_versions{"SELECT (SELECT v.id FROM " DBNET_VERSIONS_OF_KEY R"sql( LIMIT 1)
    FROM unnest($1::oid[], $2, $3) WITH ORDINALITY AS k (relation, namespace, name, number)
    LEFT JOIN dbnet.tracked_relation AS t ON t.relation = k.relation
    ORDER BY k.number
)sql"};

// While no worker ran there were no reports: what dbnet.object does not tell of is among the newest versions.
pg::Statement load_last_committers{R"sql(
    SELECT (SELECT u.oid FROM pg_authid AS u WHERE u.rolname = coalesce(c.role, o.committer))
    FROM unnest($1::oid[], $2, $3) WITH ORDINALITY AS k (relation, namespace, name, number)
    LEFT JOIN dbnet.object AS o ON o.relation = k.relation AND o.namespace = k.namespace AND o.name = k.name
    LEFT JOIN dbnet.tracked_relation AS t ON t.relation = k.relation
    LEFT JOIN LATERAL (
        SELECT coalesce(a.detail ->> 'outer_role', f.transaction_role, f.role) AS role
        FROM (SELECT v.id, v.activity FROM )sql" DBNET_VERSIONS_OF_KEY R"sql( LIMIT 16) AS v
        JOIN dbnet.activity AS a ON a.id = v.activity AND ((a.id >> 51) & 15) = ((v.activity >> 51) & 15)
        JOIN dbnet.activity AS f ON f.id = a.transaction AND ((f.id >> 51) & 15) = ((a.transaction >> 51) & 15)
        WHERE a.kind <> 'R'
        ORDER BY v.id DESC LIMIT 1) AS c ON true
    ORDER BY k.number
)sql"};

#undef DBNET_VERSIONS_OF_KEY

pg::Statement name_of_role{"SELECT rolname FROM pg_authid WHERE oid = $1"};

pg::Statement count_of_relation{"SELECT count(*) FROM dbnet.object WHERE relation = $1"};

pg::Statement pending_keys{R"sql(
    SELECT p.namespace, p.name
    FROM (SELECT namespace, name FROM dbnet.tombstone WHERE relation = $1
          UNION SELECT namespace, name FROM dbnet.held_change
                WHERE relation = $1 AND decision IS NOT NULL AND operation IN ('apply', 'delete')
          UNION SELECT namespace, name FROM dbnet.ownership_request WHERE relation = $1
          UNION SELECT namespace, name FROM dbnet.object
                WHERE relation = $1 AND phase IN ('pending', 'applying', 'uncertain', 'deleting', 'waiting_deleted', 'fighting')) AS p
    WHERE (p.namespace, p.name) > ($2, $3)
    ORDER BY p.namespace, p.name
    LIMIT $4
)sql"};

} // namespace

std::vector<StoredObject> load_objects(std::span<const Key> keys, bool with_live) {
    const KeyArrays arrays(keys);
    const pg::Result rows = pg::execute(load_by_key, arrays.relations, arrays.name_spaces, arrays.names, with_live);
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
            object.stamp = rows.text(row, 15);
            if (object.phase == Phase::fighting)
                object.reverts = static_cast<int>(rows.integer(row, 28));
            object.is_gone = !object.uid.empty() && rows.boolean(row, 27);
            if (rows.boolean(row, 26))
                object.replacement = object.is_gone ? Replacement::gone : Replacement::under_way;
            object.last_actuation = rows.integer(row, 25);
            take_owners(object, fields_from(rows.at(row, 18)), rows.text(row, 19));
        }
        if (rows.at(row, 11)) {
            found.tombstone_id = rows.integer(row, 11);
            found.tombstone = {std::string(rows.text(row, 12)), rows.boolean(row, 37)};
        }
        if (rows.at(row, 16)) {
            found.release_id = rows.integer(row, 16);
            found.releases = fields_from(rows.at(row, 17));
        }
        if (rows.at(row, 20)) {
            found.adoption_id = rows.integer(row, 20);
            found.adopted = paths_from(rows.at(row, 21));
            found.is_object_adopted = rows.boolean(row, 22);
        }
        if (rows.at(row, 23)) {
            found.expectation_id = rows.integer(row, 23);
            found.expected_version = rows.text(row, 24);
        }
        if (rows.at(row, 33)) {
            found.restoration_id = rows.integer(row, 33);
            found.last_body = parsed(rows.at(row, 34));
        }
        for (const size_t column : {3, 4, 5, 34})
            found.bytes += rows.text(row, column).size();
        found.apply_hold = {hold_from(rows.at(row, 13)), static_cast<uint64_t>(rows.integer(row, 29)),
                            static_cast<uint64_t>(rows.integer(row, 31))};
        found.delete_hold = {hold_from(rows.at(row, 14)), static_cast<uint64_t>(rows.integer(row, 30)),
                             static_cast<uint64_t>(rows.integer(row, 32))};
        if (rows.at(row, 35))
            found.rejected =
                std::make_shared<const RowDigest>(parsed(rows.at(row, 35)), std::string(rows.text(row, 36)));
    }
    return stored;
}

void save(std::span<const ObjectWrite *const> objects, std::span<const ActuationWrite> actuations,
          std::span<const HeldWrite> held) {
    pg::TextColumns changed, forgotten, replacements, tombstones, requests, settled, log, holds;
    std::map<Key, uint64_t> answered; // newest call of each object
    uint64_t id = 0;
    if (!actuations.empty())
        id = static_cast<uint64_t>(provenance::take_events(static_cast<uint32_t>(actuations.size())));
    for (const ActuationWrite &write : actuations) {
        if (write.http_status != 0)
            answered[write.key] = id;
        add(log, write, id++);
    }
    for (const ObjectWrite *write : objects) {
        if (write->forget) {
            add_key(forgotten, write->key);
        } else {
            const auto call = answered.find(write->key);
            add(changed, *write, call == answered.end() ? 0 : call->second);
        }
        if (write->replacing)
            replacements.add(std::to_string(write->key.relation), write->key.name_space, write->key.name,
                             known(*write->replacing));
        if (write->tombstone_id > 0)
            tombstones.add(std::to_string(write->key.relation), write->key.name_space, write->key.name,
                           std::to_string(write->tombstone_id));
        for (const auto &[operation, id] : {std::pair{"release", write->release_id},
                                            {"adopt", write->adoption_id},
                                            {"expect", write->expectation_id},
                                            {"restore", write->restoration_id}})
            if (id > 0)
                requests.add(std::to_string(write->key.relation), write->key.name_space, write->key.name, operation,
                             std::to_string(id));
        if (write->settles_hold)
            add_key(settled, write->key);
    }
    for (const HeldWrite &write : held)
        holds.add(std::to_string(write.key.relation), write.key.name_space, write.key.name, write.operation,
                  number(write.transaction), words(write.reason));
    write_rows(save_objects, changed);
    write_rows(save_replacing, replacements);
    write_rows(forget_objects, forgotten);
    write_rows(remove_tombstones, tombstones);
    write_rows(remove_requests, requests);
    write_rows(settle_held, settled);
    write_rows(save_held, holds);
    write_rows(save_actuations, log);
}

std::map<Key, Key> load_awaited(std::span<const Key> deleted) {
    const KeyArrays arrays(deleted);
    const pg::Result rows = pg::execute(load_awaited_objects, arrays.relations, arrays.name_spaces, arrays.names);
    std::map<Key, Key> awaited;
    for (size_t row = 0; row < rows.rows(); row++)
        awaited[{rows.oid(row, 0), std::string(rows.text(row, 1)), std::string(rows.text(row, 2))}] = {
            rows.oid(row, 3), std::string(rows.text(row, 4)), std::string(rows.text(row, 5))};
    return awaited;
}

std::vector<uint64_t> newest_versions(std::span<const Key> keys) {
    const KeyArrays arrays(keys);
    const pg::Result rows = pg::execute(load_newest_versions, arrays.relations, arrays.name_spaces, arrays.names);
    std::vector<uint64_t> versions(rows.rows());
    for (size_t row = 0; row < rows.rows(); row++)
        versions[row] = static_cast<uint64_t>(rows.integer(row, 0));
    return versions;
}

std::vector<uint32_t> last_committers(std::span<const Key> keys) {
    const KeyArrays arrays(keys);
    const pg::Result rows = pg::execute(load_last_committers, arrays.relations, arrays.name_spaces, arrays.names);
    std::vector<uint32_t> roles(rows.rows());
    for (size_t row = 0; row < rows.rows(); row++)
        roles[row] = rows.at(row, 0) ? rows.oid(row, 0) : 0;
    return roles;
}

std::string role_name(uint32_t role) {
    const pg::Result found = pg::execute(name_of_role, Oid{role});
    return found.rows() > 0 ? std::string(found.text(0, 0)) : std::string();
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
