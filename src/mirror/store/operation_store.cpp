// dbnet.operation and its steps, many per statement (see operation_store.hpp). Mirror worker and backends.
#include "mirror/store/operation_store.hpp"

#include "mirror/store/object_store.hpp"
#include "mirror/store/written_rows.hpp"

namespace dbnet::mirror {

namespace {

using Cell = pg::TextColumns::Cell;
using Kind = Operation::Kind;
using StepState = OperationStep::State;

constexpr const char *kinds[] = {"cordon", "uncordon", "evict", "drain", "restart"};
constexpr const char *step_states[] = {"waiting", "terminating", "gone", "skipped", "failed"};
constexpr const char *states[] = {"waiting", "running", "done", "failed", "cancelled"};

// A held change of an object is decided for all requests of its kind.
const pg::Statement load_open{R"sql(
    SELECT o.id, o.relation::oid, o.namespace, o.name, o.uid, o.operation, o.arguments, o.transaction, r.oid, o.state = 'running',
           (extract(epoch FROM clock_timestamp() - o.started_at) * 1000)::bigint,
           to_char(o.requested_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
           EXISTS (SELECT FROM dbnet.tombstone AS t WHERE t.relation = o.relation AND t.namespace = o.namespace AND t.name = o.name AND t.uid = o.uid),
           CASE WHEN h.id IS NULL THEN 'none' ELSE h.decision END, h.decided_by,
           (SELECT v.id FROM dbnet.entity_version AS v
            WHERE v.relation = (SELECT number FROM dbnet.tracked_relation AS t WHERE t.relation = 'dbnet.operation'::regclass)
              AND v.key_hash = dbnet.key_hash(ARRAY['id']::name[], jsonb_build_object('id', o.id))
              AND v.operation = 'I' ORDER BY v.id DESC LIMIT 1),
           (SELECT jsonb_agg(jsonb_build_array(s.namespace, s.name, s.uid, s.state, s.message, s.reason, s.attempts) ORDER BY s.namespace, s.name)
            FROM dbnet.operation_step AS s WHERE s.operation = o.id),
           o.requested_by
    FROM dbnet.operation AS o
    LEFT JOIN pg_roles AS r ON r.rolname = o.requested_by
    LEFT JOIN LATERAL (SELECT id, decision, decided_by FROM dbnet.held_change AS h
                       WHERE h.relation = o.relation AND h.namespace = o.namespace AND h.name = o.name AND h.operation = o.operation
                       ORDER BY id DESC LIMIT 1) AS h ON true
    WHERE o.finished_at IS NULL
    ORDER BY o.id
)sql"};

const pg::Statement save_operations{R"sql(
    UPDATE dbnet.operation AS o
    SET state = w.state, message = w.message, reason = w.reason, attempts = w.attempts::integer,
        next_attempt_at = clock_timestamp() + w.next_attempt_ms::bigint * interval '1 ms',
        started_at = CASE WHEN w.state <> 'waiting' THEN coalesce(o.started_at, clock_timestamp()) END,
        finished_at = CASE WHEN w.state IN ('done', 'failed', 'cancelled') THEN clock_timestamp() END
    FROM unnest($1::bigint[], $2, $3, $4, $5, $6) AS w (id, state, message, reason, attempts, next_attempt_ms)
    WHERE o.id = w.id AND o.finished_at IS NULL
)sql"};

const pg::Statement save_steps{R"sql(
    INSERT INTO dbnet.operation_step AS s (operation, relation, namespace, name, uid, state, message, reason, attempts, next_attempt_at)
    SELECT w.operation::bigint, w.relation::oid, w.namespace, w.name, w.uid, w.state, w.message, w.reason, w.attempts::integer,
           clock_timestamp() + w.next_attempt_ms::bigint * interval '1 ms'
    FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) AS w
         (operation, relation, namespace, name, uid, state, message, reason, attempts, next_attempt_ms)
    WHERE EXISTS (SELECT FROM dbnet.operation AS o WHERE o.id = w.operation::bigint)
    ON CONFLICT (operation, namespace, name) DO UPDATE
    SET state = excluded.state, message = excluded.message, reason = excluded.reason, attempts = excluded.attempts,
        next_attempt_at = excluded.next_attempt_at, changed_at = clock_timestamp()
)sql"};

const pg::Statement settle_held_operations{R"sql(
    DELETE FROM dbnet.held_change AS h USING dbnet.operation AS o
    WHERE o.id = ANY ($1::bigint[]) AND h.relation = o.relation AND h.namespace = o.namespace AND h.name = o.name AND h.operation = o.operation
)sql"};

// The newest drain that the deletion has to do with.
const pg::Statement load_newest_drains{R"sql(
    SELECT k.relation, k.namespace, k.name, d.id, d.finished_at IS NULL, coalesce(d.message, d.state)
    FROM unnest($1::oid[], $2, $3) AS k (relation, namespace, name)
    JOIN LATERAL (SELECT t.uid, t.transaction, t.at FROM dbnet.tombstone AS t
                  WHERE t.relation = k.relation AND t.namespace = k.namespace AND t.name = k.name ORDER BY t.id DESC LIMIT 1) AS t ON true
    JOIN LATERAL (SELECT o.* FROM dbnet.operation AS o
                  WHERE o.relation = k.relation AND o.namespace = k.namespace AND o.name = k.name AND o.operation = 'drain' AND NOT o.arguments ? 'dry_run'
                    AND o.uid = t.uid AND (o.finished_at IS NULL OR o.finished_at >= t.at OR o.transaction = t.transaction)
                  ORDER BY o.id DESC LIMIT 1) AS d ON d.state <> 'done'
)sql"};

const pg::Statement load_requested{
    "SELECT namespace, name, operation, arguments, id FROM dbnet.operation WHERE relation = $1"
    " AND transaction = pg_current_xact_id_if_assigned() AND finished_at IS NULL AND NOT arguments ? 'dry_run'"
    " ORDER BY id"};

const pg::Statement remove_old{"DELETE FROM dbnet.operation WHERE id = ANY (ARRAY(SELECT id FROM dbnet.operation"
                               " WHERE finished_at < clock_timestamp() - $1 * interval '1 minute' LIMIT 1000))"};

template<size_t count> size_t place_of(const char *const (&words)[count], std::string_view word) {
    size_t place = 0;
    while (place + 1 < count && words[place] != word)
        place++;
    return place;
}

std::string text_at(const Json &list, size_t place) {
    return list.at(place).is_string() ? list.at(place).get<std::string>() : std::string();
}

std::vector<OperationStep> steps_from(const char *text) {
    std::vector<OperationStep> steps;
    if (!text)
        return steps;
    for (const Json &line : Json::parse(text)) {
        OperationStep &step = steps.emplace_back();
        step.pod = {text_at(line, 0), text_at(line, 1), text_at(line, 2)};
        step.state = static_cast<StepState>(place_of(step_states, text_at(line, 3)));
        step.message = text_at(line, 4);
        step.reason = text_at(line, 5);
        step.attempts = line.at(6).get<int>();
    }
    return steps;
}

void take_arguments(Operation &operation, const char *text) {
    const Json arguments = Json::parse(text);
    operation.eviction = {arguments.value("grace_period", int64_t{-1}), arguments.value("dry_run", false)};
    if (arguments.contains("timeout"))
        operation.timeout_ms = arguments.at("timeout").get<int64_t>() * 1000;
    operation.drain = {arguments.value("ignore_daemonsets", false), arguments.value("delete_emptydir_data", false),
                       arguments.value("force", false)};
    operation.disable_eviction = arguments.value("disable_eviction", false);
    operation.pod_selector = arguments.value("pod_selector", "");
}

HoldDecision hold_from(std::string_view text) {
    if (text == "none")
        return HoldDecision::none;
    if (text == "approved")
        return HoldDecision::approved;
    return text == "rejected" ? HoldDecision::rejected : HoldDecision::waiting;
}

Cell delay(int64_t milliseconds) {
    return milliseconds < 0 ? Cell() : Cell(std::to_string(milliseconds));
}

} // namespace

const char *to_text(Kind kind) {
    return kinds[static_cast<size_t>(kind)];
}

bool removes(Kind kind) {
    return kind == Kind::evict || kind == Kind::drain;
}

std::vector<Operation> load_open_operations() {
    const pg::Result rows = pg::execute(load_open);
    std::vector<Operation> operations(rows.rows());
    for (size_t row = 0; row < rows.rows(); row++) {
        Operation &operation = operations[row];
        operation.id = rows.integer(row, 0);
        operation.key = {rows.oid(row, 1), std::string(rows.text(row, 2)), std::string(rows.text(row, 3))};
        operation.uid = rows.text(row, 4);
        operation.kind = static_cast<Kind>(place_of(kinds, rows.text(row, 5)));
        take_arguments(operation, rows.at(row, 6));
        operation.transaction = static_cast<uint64_t>(rows.integer(row, 7));
        operation.role = rows.oid(row, 8);
        operation.is_running = rows.boolean(row, 9);
        operation.running_ms = rows.integer(row, 10);
        operation.restarted_at = rows.text(row, 11);
        operation.is_row_deleted = rows.boolean(row, 12);
        operation.hold = hold_from(rows.text(row, 13));
        operation.decided_by = rows.text(row, 14);
        operation.event = static_cast<uint64_t>(rows.integer(row, 15));
        operation.steps = steps_from(rows.at(row, 16));
        operation.requested_by = rows.text(row, 17);
    }
    return operations;
}

void save(std::span<const OperationWrite> operations) {
    pg::TextColumns changed, steps;
    std::vector<std::string> settled;
    for (const OperationWrite &write : operations) {
        changed.add(std::to_string(write.id), states[static_cast<size_t>(write.state)], words(write.message),
                    words(write.reason), std::to_string(write.attempts), delay(write.next_attempt_ms));
        for (const OperationStep &step : write.steps)
            steps.add(std::to_string(write.id), std::to_string(write.key.relation), step.pod.name_space, step.pod.name,
                      step.pod.uid, step_states[static_cast<size_t>(step.state)], words(step.message),
                      words(step.reason), std::to_string(step.attempts), delay(step.next_attempt_ms));
        if (write.settles_hold)
            settled.push_back(std::to_string(write.id));
    }
    write_rows(save_operations, changed);
    write_rows(save_steps, steps);
    if (!settled.empty())
        pg::execute(settle_held_operations, settled);
}

std::map<Key, Blocker> load_blockers(std::span<const Key> deleted) {
    std::vector<std::string> relations, name_spaces, names;
    for (const Key &key : deleted) {
        relations.push_back(std::to_string(key.relation));
        name_spaces.push_back(key.name_space);
        names.push_back(key.name);
    }
    const pg::Result rows = pg::execute(load_newest_drains, relations, name_spaces, names);
    std::map<Key, Blocker> blockers;
    for (size_t row = 0; row < rows.rows(); row++)
        blockers[{rows.oid(row, 0), std::string(rows.text(row, 1)), std::string(rows.text(row, 2))}] = {
            rows.integer(row, 3), rows.boolean(row, 4), std::string(rows.text(row, 5))};
    return blockers;
}

std::string Blocker::text() const {
    return "the object is to be drained first: operation " + std::to_string(operation) +
           (is_open ? " is under way" : " has not been done: " + message);
}

std::vector<RequestedOperation> load_requests(uint32_t relation) {
    const pg::Result rows = pg::execute(load_requested, Oid{relation});
    std::vector<RequestedOperation> requests;
    for (size_t row = 0; row < rows.rows(); row++)
        requests.push_back({{relation, std::string(rows.text(row, 0)), std::string(rows.text(row, 1))},
                            static_cast<Kind>(place_of(kinds, rows.text(row, 2))),
                            std::string(rows.text(row, 3)),
                            rows.integer(row, 4)});
    return requests;
}

void remove_old_operations(int64_t age_minutes) {
    pg::execute(remove_old, age_minutes);
}

} // namespace dbnet::mirror
