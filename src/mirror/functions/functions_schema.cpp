// dbnet.refresh_schema(): what a server's upgrade or a changed CustomResourceDefinition means for a mirror. Asks the
// API server before the transaction writes anything, and changes nothing there. Runs in backends.
#include "mirror/definition/mirror_store.hpp"
#include "mirror/definition/schema_changes.hpp"
#include "mirror/definition/table_creation.hpp"
#include "mirror/functions/as_extension.hpp"
#include "mirror/functions/row_writer.hpp"
#include "mirror/functions/sql_arguments.hpp"
#include "mirror/server/served_kinds.hpp"
#include "mirror/server/server_connection.hpp"

#include <algorithm>

namespace dbnet::mirror {
namespace {

// A field that the server does not know any more is nobody's: there is nothing to hand over.
const pg::Statement forget_fields{
    "UPDATE dbnet.object SET base = base - $2, applied = applied - $2, managers = managers - $2,"
    " claimed = ARRAY(SELECT path FROM unnest(claimed) AS path WHERE path <> ALL ($2)),"
    " first_written = ARRAY(SELECT path FROM unnest(first_written) AS path WHERE path <> ALL ($2)) WHERE relation = "
    "$1"};

// What is on record before the server is asked.
struct Recorded {
    Table table;
    MirrorRecord mirror;
    std::vector<MappedColumn> columns;
    std::optional<std::vector<std::string>> known;
    bool offline = false;
};

Recorded recorded(Oid relation, bool lock) {
    return pg::in_spi([&] {
        Recorded result;
        result.table = find_table(relation);
        as_extension([&] {
            result.mirror = lock ? locked_mirror(relation) : required_mirror(relation);
            result.columns = stored_columns(relation);
            result.known = known_fields(relation);
            result.offline = is_offline(result.mirror.server);
        });
        return result;
    });
}

// What a row took from its object in the old type, and still says in the new one, is nobody's wish. Runs with the
// extension's rights: not on columns of a type of the users', whose casts are functions of theirs.
void rewrite_base(const MirrorRecord &mirror, const Table &table, const ColumnMap &map, const Column &column) {
    const auto key_column = [&](std::string_view path) {
        const auto found = std::ranges::find(map.columns, path, &Column::path);
        return found == map.columns.end() ? std::string() : "t." + pg::quoted_name(found->name) + "::text";
    };
    const auto found = std::ranges::find(table.columns, column.name, &TableColumn::name);
    if (found == table.columns.end() || found->category == 'E')
        return;
    const std::string name_space = key_column("metadata.namespace"), value = "t." + pg::quoted_name(column.name);
    const pg::Argument arguments[] = {mirror.relation, mirror.name_space, column.path};
    pg::execute_once("UPDATE dbnet.object AS o SET base = o.base || jsonb_build_object($3, to_jsonb(" + value +
                         ")) FROM ONLY " + table.name +
                         " AS t WHERE o.relation = $1 AND o.namespace = " + (name_space.empty() ? "$2" : name_space) +
                         " AND o.name = " + key_column("metadata.name") + " AND o.base ->> $3 = " + value + "::text",
                     arguments);
}

// In the caller's name: the table is the caller's.
Table add_columns(Table table, SchemaComparison &comparison, ColumnMapQuestion question) {
    if (comparison.added.empty())
        return table;
    for (const PlannedColumn &column : comparison.added)
        add_column(table.name, column);
    table = find_table(table.relation);
    question.columns = &table.columns;
    for (const PlannedColumn &added : comparison.added) {
        MappedColumn mapped = map_column(question, {added.name, added.path, std::nullopt, ""});
        comparison.map.descriptions[added.name] = std::move(mapped.description);
        comparison.map.columns.push_back(std::move(mapped.column));
    }
    return table;
}

} // namespace

DBNET_FUNCTION(dbnet_refresh_schema) {
    RowWriter rows(fcinfo);
    const Oid relation = required_relation(fcinfo, 0, "relation");
    const bool apply = PG_GETARG_BOOL(1);
    const Recorded before = recorded(relation, apply);
    const MirrorRecord &mirror = before.mirror;
    if (before.offline)
        throw pg::error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, offline_message(mirror.server) +
                                                                      ": nobody can be asked for the fields of kind " +
                                                                      mirror.resource.kind);

    ClientSession session = open_session(mirror.server, before.table.owner);
    const kubernetes::DiscoveredKind kind =
        find_kind(session, mirror.server, mirror.resource.api_version(), mirror.resource.kind);
    const kubernetes::Schema schema = find_schema(session, mirror.resource);
    const TablePlan plan =
        plan_table({&schema, mirror.resource.namespaced, !mirror.name_space.empty(), mirror.secret_values});
    const ColumnMapQuestion question{"{}",
                                     before.table.name,
                                     mirror.resource.kind,
                                     &before.table.columns,
                                     &schema,
                                     mirror.resource.namespaced,
                                     mirror.name_space,
                                     &kind.subresources,
                                     mirror.secret_values};
    SchemaComparison comparison = compare_schema({question, &before.columns, &plan, &before.known, mirror.generated});

    if (apply)
        pg::in_spi([&] {
            const Table table = add_columns(before.table, comparison, question);
            as_extension([&] {
                if (comparison.has_other_columns)
                    attach_capture(table, comparison.map, mirror.name_space);
                if (!comparison.gone.empty())
                    pg::execute(forget_fields, relation, comparison.gone);
                for (const Column &column : comparison.retyped)
                    rewrite_base(mirror, table, comparison.map, column);
                if (!comparison.changes.empty()) {
                    replace_columns(relation, comparison.map);
                    update_mirror(mirror);
                }
                note_fields(relation, plan);
            });
        });
    for (const SchemaChange &change : comparison.changes)
        rows.add({change.column, change.path, to_text(change.kind), change.detail});
    return Datum{0};
}

} // namespace dbnet::mirror
