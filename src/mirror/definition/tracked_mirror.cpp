// Mirrors in dbnet.tracked_relation (see tracked_mirror.hpp); backends.
#include "mirror/definition/tracked_mirror.hpp"

#include "mirror/functions/as_extension.hpp"
#include "mirror/values/secret_values.hpp"
#include "pg/spi.hpp"

extern "C" {
#include "commands/event_trigger.h"
}

namespace dbnet::mirror {
namespace {

// If the kind holds secrets no values are recorded of columns $2, and of $3 if these are mirrored in plain.
const pg::Statement upsert{R"sql(
    WITH wanted AS (
        SELECT c.oid::regclass AS relation, n.nspname, c.relname,
               (SELECT array_agg(column_name ORDER BY path DESC) FROM dbnet.mirrored_column AS k
                WHERE k.relation = c.oid AND role = 'key') AS key_columns, -- metadata.namespace, metadata.name
               CASE m.secret_values WHEN 'plain' THEN $2::name[] || $3::name[] WHEN 'digest' THEN $2::name[] ELSE '{}' END
                   AS redacted_columns
        FROM dbnet.mirrored_relation AS m JOIN pg_class AS c ON c.oid = m.relation JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE m.relation = $1
    ), known AS (
        UPDATE dbnet.tracked_relation AS t
        SET relation = w.relation, schema_name = w.nspname, table_name = w.relname, key_columns = w.key_columns,
            redacted_columns = w.redacted_columns, activations = 'all', enabled = true,
            tracked_since = CASE WHEN t.enabled THEN t.tracked_since ELSE now() END
        FROM wanted AS w
        WHERE t.number = (SELECT number FROM dbnet.tracked_relation AS other
                          WHERE other.relation = w.relation
                              OR (other.relation IS NULL AND other.schema_name = w.nspname AND other.table_name = w.relname)
                          ORDER BY other.relation IS NULL, number DESC LIMIT 1)
        RETURNING number
    )
    INSERT INTO dbnet.tracked_relation (relation, schema_name, table_name, key_columns, redacted_columns, activations)
    SELECT relation, nspname, relname, key_columns, redacted_columns, 'all' FROM wanted
    WHERE NOT EXISTS (SELECT FROM known)
)sql"};

// The mirror's own trigger records its rows from now on.
const pg::Statement find_own_trigger{
    "SELECT FROM pg_trigger WHERE tgrelid = $1 AND tgname = 'dbnet_track' AND NOT tgisinternal"};

const pg::Statement track_truncate{"SELECT dbnet.track_truncate($1)"};
const pg::Statement untrack_truncate{"SELECT dbnet.untrack_truncate($1)"};

const pg::Statement disable{"UPDATE dbnet.tracked_relation SET enabled = false WHERE relation = $1 AND enabled"};

const pg::Statement forget_dropped{
    "UPDATE dbnet.tracked_relation AS t"
    " SET relation = NULL, enabled = false, schema_name = dropped.schema_name, table_name = dropped.object_name"
    " FROM pg_event_trigger_dropped_objects() AS dropped"
    " WHERE dropped.classid = 'pg_class'::regclass AND dropped.objid = t.relation AND dropped.objsubid = 0"};

const pg::Statement follow_renamed{
    "UPDATE dbnet.tracked_relation AS t SET schema_name = n.nspname, table_name = c.relname"
    " FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
    " WHERE c.oid = t.relation AND (t.schema_name, t.table_name) <> (n.nspname, c.relname)"};

// Partitions that the command has made or attached, and no others: their locks are not ours to take.
const pg::Statement follow_partitions{R"sql(
    WITH changed AS (SELECT DISTINCT objid FROM pg_event_trigger_ddl_commands() WHERE classid = 'pg_class'::regclass)
    SELECT dbnet.track_truncate(part)
    FROM (SELECT objid AS part FROM changed
          UNION SELECT i.inhrelid FROM changed JOIN pg_inherits AS i ON i.inhparent = changed.objid) AS made
    WHERE NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = part AND tgname = 'dbnet_track_truncate')
        AND EXISTS (SELECT FROM dbnet.tracked_relation AS t WHERE t.enabled AND t.number >= 100
                        AND t.relation IN (SELECT relid FROM pg_partition_ancestors(part)))
)sql"};

// A dump makes its partitions before it says what is tracked, and the triggers of what is tracked by itself.
bool makes_partition(Node *statement) {
    if (IsA(statement, CreateStmt))
        return reinterpret_cast<CreateStmt *>(statement)->partbound != nullptr;
    if (!IsA(statement, AlterTableStmt))
        return false;
    const List *commands = reinterpret_cast<AlterTableStmt *>(statement)->cmds;
    for (int i = 0; i < list_length(commands); i++)
        if (static_cast<AlterTableCmd *>(list_nth(commands, i))->subtype == AT_AttachPartition)
            return true;
    return false;
}

// Making a trigger ALWAYS is an ALTER TABLE, after which the event trigger fires again.
bool is_following = false;

} // namespace

void track_mirror(Oid relation, const ColumnMap &map) {
    std::vector<std::string> secret, copies;
    for (const Column &column : map.columns) {
        if (column.role != Role::key && is_secret_field(column.field))
            secret.push_back(column.name);
        if (column.role != Role::key && may_hold_copy(column.field))
            copies.push_back(column.name);
    }
    pg::execute(upsert, relation, secret, copies);
    if (pg::execute(find_own_trigger, relation).affected() > 0)
        pg::execute_once("DROP TRIGGER dbnet_track ON " + pg::qualified_name(relation));
    pg::execute(track_truncate, relation);
}

void untrack_mirror(Oid relation) {
    pg::execute(disable, relation);
    pg::execute(untrack_truncate, relation);
}

void forget_dropped_tables() {
    pg::execute(forget_dropped);
}

DBNET_FUNCTION(dbnet_follow_renamed) {
    if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
        throw pg::error(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED, "dbnet.follow_renamed() is an event trigger");
    if (is_following)
        return Datum{0};
    struct Following {
        Following() { is_following = true; }
        ~Following() { is_following = false; }
    } following;
    const bool is_partition = makes_partition(reinterpret_cast<EventTriggerData *>(fcinfo->context)->parsetree);
    pg::in_spi([is_partition] {
        as_extension([is_partition] {
            pg::execute(follow_renamed);
            if (is_partition)
                pg::execute(follow_partitions);
        });
    });
    return Datum{0};
}

} // namespace dbnet::mirror
