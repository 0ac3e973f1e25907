// Configuration of mirrors in dbnet's tables (see mirror_store.hpp); backends.
#include "mirror/definition/mirror_store.hpp"

#include "kubernetes/api.hpp"
#include "mirror/definition/selector_overlap.hpp"
#include "mirror/definition/tracked_mirror.hpp"
#include "pg/spi.hpp"

#include <array>

extern "C" {
#include "access/xlog.h"
}

namespace dbnet::mirror {
namespace {

const pg::Statement select_mirror{
    "SELECT server, api_version, kind, resource, namespaced, namespace, label_selector, mode, on_drift, initial,"
    " on_external_delete, delete_foreign, generated, secret_values, on_immutable FROM dbnet.mirrored_relation WHERE "
    "relation = $1"};

const pg::Statement insert_relation{
    "INSERT INTO dbnet.mirrored_relation (relation, server, api_version, kind, resource, namespaced, namespace, "
    "label_selector,"
    " mode, on_drift, initial, on_external_delete, delete_foreign, field_manager, generated, secret_values,"
    " on_immutable)"
    " VALUES ($1, $2::name, $3, $4, $5, $6, nullif($7, ''), $8, $9, $10, $11, $12, $13, $14, $15, nullif($16, ''), "
    "$17)"};
const pg::Statement insert_state{
    "INSERT INTO dbnet.mirror_state (relation, state) VALUES ($1, CASE WHEN dbnet.is_offline($2::name) THEN 'offline'"
    " ELSE 'starting' END)"};

const pg::Statement update_relation{
    "UPDATE dbnet.mirrored_relation SET mode = $2, on_drift = $3, on_external_delete = $4, delete_foreign = $5,"
    " on_immutable = $6, generation = nextval('dbnet.generation') WHERE relation = $1"};

const pg::Statement delete_columns{"DELETE FROM dbnet.mirrored_column WHERE relation = $1"};
const pg::Statement insert_column{
    "INSERT INTO dbnet.mirrored_column (relation, column_name, path, role, value_type, format, column_type, on_drift,"
    " subresource, description, required, rules)"
    " VALUES ($1, $2::name, $3, $4, $5, $6, $7, $8, nullif($9, ''), nullif($10, ''), $11, nullif($12, '')::jsonb)"};

const pg::Statement select_columns{
    "SELECT column_name, path, role, value_type, format, column_type, on_drift, subresource, description, required, "
    "rules"
    " FROM dbnet.mirrored_column LEFT JOIN pg_attribute ON attrelid = relation AND attname = column_name"
    " WHERE relation = $1 ORDER BY attnum NULLS FIRST, column_name"};

const pg::Statement select_fields{"SELECT field FROM dbnet.mirrored_relation, unnest(coalesce(known_fields, "
                                  "ARRAY[NULL])) AS field WHERE relation = $1"};
const pg::Statement update_fields{"UPDATE dbnet.mirrored_relation SET known_fields = $2 WHERE relation = $1"};

const pg::Statement delete_held{"DELETE FROM dbnet.held_change WHERE relation = $1"};
const pg::Statement delete_requests{"DELETE FROM dbnet.ownership_request WHERE relation = $1"};
const pg::Statement delete_tombstones{"DELETE FROM dbnet.tombstone WHERE relation = $1"};
const pg::Statement delete_bodies{"DELETE FROM dbnet.deleted_object WHERE relation = $1"};
const pg::Statement lock_mirror{"SELECT FROM dbnet.mirrored_relation WHERE relation = $1 FOR NO KEY UPDATE"};
const pg::Statement delete_objects{"DELETE FROM dbnet.object WHERE relation = $1"};
const pg::Statement delete_state{"DELETE FROM dbnet.mirror_state WHERE relation = $1"};
const pg::Statement delete_relation{"DELETE FROM dbnet.mirrored_relation WHERE relation = $1"};

// The version does not matter: every version of a kind shows the same objects.
const pg::Statement select_managers{
    "SELECT relation::text, namespace, label_selector FROM dbnet.mirrored_relation"
    " WHERE server = $1::name AND kind = $2 AND mode = 'manage' AND relation <> $3"
    " AND CASE WHEN position('/' IN api_version) > 0 THEN split_part(api_version, '/', 1) ELSE '' END = $4"};

const pg::Statement select_arming{"SELECT system_identifier = $1 AND database = $2 FROM dbnet.arming"};
const pg::Statement insert_arming{"INSERT INTO dbnet.arming (system_identifier, database) VALUES ($1, $2)"};

// Random, so that no two databases ever share it; see kubernetes.md on field managers.
std::string new_field_manager() {
    std::array<unsigned char, 8> bytes;
    if (!pg_strong_random(bytes.data(), bytes.size()))
        throw pg::error(ERRCODE_INTERNAL_ERROR, "could not generate a random field manager");
    static constexpr char digits[] = "0123456789abcdef";
    std::string manager = "dbnet-";
    for (const unsigned char byte : bytes) {
        manager += digits[byte >> 4];
        manager += digits[byte & 15];
    }
    return manager;
}

} // namespace

std::optional<MirrorRecord> find_mirror(Oid relation) {
    const pg::Result found = pg::execute(select_mirror, relation);
    if (found.rows() == 0)
        return std::nullopt;
    MirrorRecord record;
    record.relation = relation;
    record.server = found.text(0, 0);
    const auto [group, version] = kubernetes::split_api_version(found.text(0, 1));
    record.resource = {group, version, std::string(found.text(0, 2)), std::string(found.text(0, 3)),
                       found.boolean(0, 4)};
    record.name_space = found.text(0, 5);
    record.label_selector = found.text(0, 6);
    record.mode = found.text(0, 7);
    record.on_drift = found.text(0, 8);
    record.initial = found.text(0, 9);
    if (found.at(0, 10))
        record.on_external_delete = found.at(0, 10);
    record.delete_foreign = found.boolean(0, 11);
    record.generated = found.boolean(0, 12);
    record.secret_values = found.text(0, 13);
    record.on_immutable = found.text(0, 14);
    return record;
}

MirrorRecord required_mirror(Oid relation) {
    std::optional<MirrorRecord> found = find_mirror(relation);
    if (!found) {
        const std::string name = pg::qualified_name(relation);
        throw pg::error(ERRCODE_UNDEFINED_OBJECT,
                        (name.empty() ? "relation " + std::to_string(relation) : name) + " is not a mirror")
            .hint("dbnet.mirror() makes a table a mirror; dbnet.mirror_status lists the mirrors.");
    }
    return std::move(*found);
}

MirrorRecord locked_mirror(Oid relation) {
    pg::execute(lock_mirror, relation);
    return required_mirror(relation);
}

void insert_mirror(const MirrorRecord &record) {
    // An answer that crossed with dbnet.unmirror() may have left something.
    for (const pg::Statement *statement : {&delete_held, &delete_requests, &delete_tombstones, &delete_objects})
        pg::execute(*statement, record.relation);
    pg::execute(insert_relation, record.relation, record.server, record.resource.api_version(), record.resource.kind,
                record.resource.plural, record.resource.namespaced, record.name_space, record.label_selector,
                record.mode, record.on_drift, record.initial, record.on_external_delete, record.delete_foreign,
                new_field_manager(), record.generated, record.secret_values, record.on_immutable);
    pg::execute(insert_state, record.relation, record.server);
}

void update_mirror(const MirrorRecord &record) {
    pg::execute(update_relation, record.relation, record.mode, record.on_drift, record.on_external_delete,
                record.delete_foreign, record.on_immutable);
}

void replace_columns(Oid relation, const ColumnMap &map) {
    pg::execute(delete_columns, relation);
    for (const Column &column : map.columns) {
        const ColumnDescription &more = map.descriptions.at(column.name);
        pg::execute(insert_column, relation, column.name, column.path, to_text(column.role), to_text(column.type),
                    column.format, column.column_type, column.on_drift ? to_text(*column.on_drift) : nullptr,
                    column.subresource, more.description, more.required, more.rules);
    }
    track_mirror(relation, map);
}

std::vector<MappedColumn> stored_columns(Oid relation) {
    const pg::Result found = pg::execute(select_columns, relation);
    std::vector<MappedColumn> columns(found.rows());
    for (size_t i = 0; i < found.rows(); i++) {
        auto &[column, more] = columns[i];
        column.name = found.text(i, 0);
        column.path = found.text(i, 1);
        column.field = kubernetes::FieldPath::parse(column.path);
        column.role = parse_role(found.text(i, 2)).value_or(Role::spec);
        column.type = parse_value_type(found.text(i, 3)).value_or(ValueType::json);
        column.format = found.text(i, 4);
        column.column_type = found.text(i, 5);
        column.on_drift = parse_on_drift(found.text(i, 6));
        column.subresource = found.text(i, 7);
        more = {std::string(found.text(i, 8)), found.boolean(i, 9), std::string(found.text(i, 10))};
    }
    return columns;
}

std::optional<std::vector<std::string>> known_fields(Oid relation) {
    const pg::Result found = pg::execute(select_fields, relation);
    if (found.rows() == 1 && !found.at(0, 0))
        return std::nullopt;
    std::vector<std::string> fields;
    for (size_t i = 0; i < found.rows(); i++)
        fields.emplace_back(found.text(i, 0));
    return fields;
}

void note_fields(Oid relation, const TablePlan &plan) {
    std::vector<std::string> fields;
    for (const PlannedColumn &column : plan.columns)
        fields.push_back(column.path);
    pg::execute(update_fields, relation, fields);
}

// In the order in which the worker writes: objects, then the mirror's row, which it locks before its state.
void delete_mirror(Oid relation) {
    for (const pg::Statement *statement : {&delete_held, &delete_requests, &delete_tombstones, &delete_bodies,
                                           &delete_objects, &delete_columns, &delete_relation, &delete_state})
        pg::execute(*statement, relation);
    untrack_mirror(relation);
}

void check_single_owner(const MirrorRecord &record) {
    if (record.mode != "manage")
        return;
    const pg::Result others =
        pg::execute(select_managers, record.server, record.resource.kind, record.relation, record.resource.group);
    for (size_t i = 0; i < others.rows(); i++) {
        const std::string_view other_namespace = others.text(i, 1);
        const bool same_namespace =
            record.name_space.empty() || other_namespace.empty() || record.name_space == other_namespace;
        if (same_namespace && may_overlap(record.label_selector, others.text(i, 2)))
            throw pg::error(ERRCODE_DUPLICATE_OBJECT,
                            "mirror " + std::string(others.text(i, 0)) + " manages the same objects already")
                .detail("Both would create and delete " + record.resource.plural + " of server \"" + record.server +
                        "\".")
                .hint("Give the mirrors different namespaces or label selectors that exclude each other, or leave one "
                      "in mode 'observe'.");
    }
}

void arm_database() {
    const auto system_identifier = static_cast<int64_t>(pg::call([] { return GetSystemIdentifier(); }));
    const pg::Result armed = pg::execute(select_arming, system_identifier, MyDatabaseId);
    if (armed.rows() == 0)
        pg::execute(insert_arming, system_identifier, MyDatabaseId);
    else if (!armed.boolean(0, 0))
        pg::warning(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                    "this database is a copy: no mirror of it writes to a device",
                    "If it takes the original's place, run SELECT dbnet.claim();");
}

} // namespace dbnet::mirror
