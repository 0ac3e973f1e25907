// Column maps against a small schema: what is accepted, and what is said about the rest.
#include "mirror/definition/column_map.hpp"

#include <gtest/gtest.h>

#include "pg/no_postgres.hpp"

namespace {

using namespace dbnet::mirror;
using dbnet::kubernetes::OpenApiDocument;
using dbnet::kubernetes::Schema;

constexpr const char *document = R"({"openapi": "3.0.0", "components": {"schemas": {
  "Thing": {"type": "object", "x-kubernetes-group-version-kind": [{"group": "net.example.com", "version": "v1", "kind": "Thing"}],
    "properties": {
      "apiVersion": {"type": "string"}, "kind": {"type": "string"},
      "metadata": {"allOf": [{"$ref": "#/components/schemas/Meta"}]},
      "spec": {"type": "object", "required": ["size"], "properties": {
        "size": {"type": "integer", "format": "int32"}, "total": {"type": "integer", "format": "int64"},
        "ratio": {"type": "number"}, "on": {"type": "boolean"}, "mode": {"type": "string", "enum": ["a", "b"]},
        "data": {"type": "string", "format": "byte"}, "anything": {"x-kubernetes-preserve-unknown-fields": true},
        "port": {"x-kubernetes-int-or-string": true},
        "selector": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"app": {"type": "string"}}},
        "rules": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
          "items": {"type": "object", "properties": {"name": {"type": "string"}, "cost": {"type": "integer", "format": "int32"}}}},
        "plain": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}}}},
      "status": {"type": "object", "properties": {"ready": {"type": "boolean"}, "since": {"type": "string", "format": "date-time"}}}}},
  "Meta": {"type": "object", "properties": {
    "name": {"type": "string"}, "namespace": {"type": "string"}, "uid": {"type": "string"}, "generateName": {"type": "string"},
    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
    "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
    "creationTimestamp": {"type": "string", "format": "date-time"},
    "managedFields": {"type": "array", "items": {"type": "object"}}}}}}})";

Schema schema() {
    static const OpenApiDocument parsed = OpenApiDocument::parse(document);
    return parsed.schema("net.example.com", "v1", "Thing");
}

TableColumn column(std::string name, std::string type, char category = 'S') {
    TableColumn made;
    made.name = std::move(name);
    made.type = type;
    made.base_type = type.substr(0, type.find('('));
    made.category = category;
    return made;
}

const std::vector<TableColumn> table{column("name", "text"),
                                     column("namespace", "character varying(63)"),
                                     column("labels", "jsonb", 'U'),
                                     column("size", "integer", 'N'),
                                     column("small", "smallint", 'N'),
                                     column("total", "bigint", 'N'),
                                     column("ready", "boolean", 'B'),
                                     column("since", "timestamp with time zone", 'D'),
                                     column("note", "text"),
                                     column("mode", "mood", 'E'),
                                     column("wall", "timestamp without time zone", 'D'),
                                     column("bytes", "bytea", 'U')};

ColumnMap build(const std::string &map, bool namespaced = false, const char *fixed_namespace = "",
                const std::vector<TableColumn> &columns = table) {
    const Schema kind = schema();
    return build_column_map({map, "net.things", "Thing", &columns, &kind, namespaced, fixed_namespace});
}

// What is said about a map that adds `entry` to the key; "" when it is accepted.
std::string refusal(const std::string &entry, ColumnMapError::Kind expected, std::string *hint = nullptr) {
    try {
        build(R"({"name": "metadata.name", )" + entry + "}");
    } catch (const ColumnMapError &error) {
        EXPECT_EQ(error.kind(), expected) << error.what();
        if (hint)
            *hint = error.hint();
        return error.what();
    }
    return "";
}

using Kind = ColumnMapError::Kind;

TEST(ColumnMap, RolesTypesAndOrder) {
    const ColumnMap map =
        build(R"({"total": "spec.total", "ready": "status.ready", "labels": "metadata.labels", "name": "metadata.name",
        "since": "metadata.creationTimestamp", "size": {"path": "spec.rules[name=a].cost", "on_drift": "enforce"}})");
    ASSERT_EQ(map.columns.size(), 6u);
    const char *names[] = {"name", "labels", "size", "total", "ready", "since"};
    const Role roles[] = {Role::key, Role::meta, Role::spec, Role::spec, Role::status, Role::status};
    const ValueType types[] = {ValueType::string,  ValueType::json,    ValueType::integer,
                               ValueType::integer, ValueType::boolean, ValueType::time};
    for (size_t i = 0; i < 6; i++) {
        EXPECT_EQ(map.columns[i].name, names[i]);
        EXPECT_EQ(map.columns[i].role, roles[i]) << names[i];
        EXPECT_EQ(map.columns[i].type, types[i]) << names[i];
    }
    EXPECT_EQ(map.columns[2].on_drift, OnDrift::enforce);
    EXPECT_EQ(map.columns[3].on_drift, std::nullopt);
    EXPECT_EQ(map.columns[2].format, "int32");
    EXPECT_EQ(map.key_columns, std::vector<std::string>{"name"});
}

TEST(ColumnMap, TheMapItself) {
    for (const char *map : {"", "[]", "{}", "null", "{\"name\": 1}", "{\"name\": {}}", "{\"name\": {\"path\": 1}}"})
        EXPECT_THROW(build(map), ColumnMapError) << map;
    EXPECT_EQ(refusal(R"("size": {"path": "spec.size", "drift": "x"})", Kind::bad_map),
              "column map: unknown setting \"drift\" of column \"size\"");
    EXPECT_EQ(refusal(R"("size": {"path": "spec.size", "on_drift": "undo"})", Kind::bad_map),
              "column map: on_drift of column \"size\" is \"undo\"");
    EXPECT_EQ(refusal(R"("ready": {"path": "status.ready", "on_drift": "report"})", Kind::bad_map),
              "on_drift of column \"ready\" (status.ready) has no meaning: users cannot set the field");
}

TEST(ColumnMap, Subresources) {
    const ColumnMap map = build(R"({"name": "metadata.name", "ready": {"path": "status.ready", "subresource": "status"},
        "total": {"path": "spec.total", "subresource": "scale", "on_drift": "follow"}})");
    ASSERT_EQ(map.columns.size(), 3u);
    for (const Column &column : map.columns) {
        const std::string expected = column.name == "ready" ? "status" : column.name == "total" ? "scale" : "";
        EXPECT_EQ(column.subresource, expected);
        EXPECT_EQ(column.role, expected.empty() ? Role::key : Role::spec);
    }
    EXPECT_EQ(refusal(R"("ready": {"path": "status.ready", "subresource": "log"})", Kind::bad_map),
              "column map: subresource of column \"ready\" is \"log\"");
    EXPECT_EQ(refusal(R"("size": {"path": "spec.size", "subresource": "status"})", Kind::bad_map),
              "column \"size\" (spec.size) is no field below status, which is all that subresource \"status\" takes");
    EXPECT_EQ(
        refusal(R"("ready": {"path": "status.ready", "subresource": "scale"})", Kind::bad_map),
        "column \"ready\" (status.ready) is no number of replicas, which is all that subresource \"scale\" takes");
    EXPECT_EQ(
        refusal(R"("size": {"path": "spec.size", "subresource": "scale"})", Kind::bad_map),
        "column \"size\" (spec.size) cannot be sent through subresource \"scale\": no object can be made without it");
}

TEST(ColumnMap, ColumnsAndPaths) {
    std::string hint;
    EXPECT_EQ(refusal(R"("lables": "metadata.labels")", Kind::no_such_column, &hint),
              "column \"lables\" of table net.things does not exist");
    EXPECT_EQ(hint, "Perhaps you meant \"labels\".");
    EXPECT_NE(refusal(R"("size": "spec..size")", Kind::no_such_path)
                  .find("the path of column \"size\" (spec..size) cannot be read: "),
              std::string::npos);
    const std::string message = refusal(R"("size": "spec.sise")", Kind::no_such_path, &hint);
    EXPECT_NE(message.find("kind Thing has no field for column \"size\" (spec.sise)"), std::string::npos) << message;
    EXPECT_NE((message + hint).find("size"), std::string::npos);
}

TEST(ColumnMap, ListsAreSelectedByTheirKeysOnly) {
    EXPECT_EQ(refusal(R"("size": "spec.rules[name=a].cost")", Kind::no_such_path), "");
    EXPECT_NE(refusal(R"("size": "spec.rules[cost=1].cost")", Kind::no_such_path), "");
    EXPECT_NE(refusal(R"("note": "spec.plain[name=a].name")", Kind::no_such_path), "");
}

TEST(ColumnMap, PartsOfWhatHasOneOwner) {
    EXPECT_EQ(refusal(R"("note": "spec.selector.app")", Kind::no_such_path),
              "column \"note\" (spec.selector.app) cannot be written alone: spec.selector is owned as a whole");
    EXPECT_EQ(refusal(R"("labels": "spec.selector")", Kind::no_such_path), "");
}

TEST(ColumnMap, Reserved) {
    for (const char *path : {"spec", "metadata", "metadata.managedFields", "metadata.generateName",
                             "metadata.annotations[\\\"dbnet.io/stamp\\\"]"})
        EXPECT_NE(refusal("\"labels\": \"" + std::string(path) + "\"", Kind::no_such_path), "") << path;
}

TEST(ColumnMap, Types) {
    std::string hint;
    EXPECT_EQ(refusal(R"("small": "spec.size")", Kind::wrong_type, &hint),
              "column \"small\" (spec.size) has type smallint, but the field holds integer (int32)");
    EXPECT_EQ(hint, "Use type integer, bigint or numeric.");
    EXPECT_NE(refusal(R"("size": "spec.total")", Kind::wrong_type), "");
    EXPECT_NE(refusal(R"("note": "spec.on")", Kind::wrong_type), "");
    EXPECT_NE(refusal(R"("wall": "status.since")", Kind::wrong_type), "");
    EXPECT_NE(refusal(R"("mode": "spec.on")", Kind::wrong_type), "");
    EXPECT_NE(refusal(R"("note": "metadata.labels")", Kind::wrong_type), "");
    EXPECT_EQ(refusal(R"("mode": "spec.mode")", Kind::wrong_type), "");
    EXPECT_EQ(refusal(R"("bytes": "spec.data")", Kind::wrong_type), "");
    EXPECT_EQ(refusal(R"("note": "spec.port")", Kind::wrong_type), "");
    EXPECT_EQ(refusal(R"("labels": "spec.anything")", Kind::wrong_type), "");
    EXPECT_EQ(refusal(R"("labels": "spec.size")", Kind::wrong_type), "") << "jsonb holds anything";
}

TEST(ColumnMap, GeneratedColumns) {
    std::vector<TableColumn> columns = table;
    columns[8].generated = true;
    EXPECT_THROW(build(R"({"name": "metadata.name", "note": "spec.mode"})", false, "", columns), ColumnMapError);
}

TEST(ColumnMap, OneColumnPerField) {
    EXPECT_EQ(refusal(R"("labels": "metadata.labels", "note": "metadata.labels[\"app\"]")", Kind::bad_map),
              "columns \"labels\" (metadata.labels) and \"note\" (metadata.labels.app) hold the same field");
    EXPECT_NE(refusal(R"("size": "spec.size", "total": "spec.size")", Kind::bad_map), "");
}

TEST(ColumnMap, Keys) {
    EXPECT_THROW(build(R"({"labels": "metadata.labels"})"), ColumnMapError);
    EXPECT_THROW(build(R"({"name": "metadata.name", "namespace": "metadata.namespace"})"), ColumnMapError);
    EXPECT_THROW(build(R"({"name": "metadata.name"})", true), ColumnMapError);
    EXPECT_THROW(build(R"({"name": "metadata.name", "namespace": "metadata.namespace"})", true, "shop"),
                 ColumnMapError);
    EXPECT_THROW(build(R"({"labels": "metadata.name"})"), ColumnMapError) << "jsonb is no key";
    EXPECT_EQ(build(R"({"name": "metadata.name"})", true, "shop").key_columns, std::vector<std::string>{"name"});
    EXPECT_EQ(build(R"({"name": "metadata.name", "namespace": "metadata.namespace"})", true).key_columns,
              (std::vector<std::string>{"namespace", "name"}));
}

TEST(ColumnMap, Warnings) {
    std::vector<TableColumn> columns = table;
    columns[0].not_null = true;
    columns[3].not_null = true; // size: required by the schema
    columns[5].not_null = true; // total: may be absent
    columns[8].not_null = true; // note: mirrors nothing
    const ColumnMap map =
        build(R"({"name": "metadata.name", "size": "spec.size", "total": "spec.total"})", false, "", columns);
    ASSERT_EQ(map.warnings.size(), 2u);
    EXPECT_NE(map.warnings[0].find("column \"total\" is NOT NULL, but field spec.total may be absent"),
              std::string::npos);
    EXPECT_NE(map.warnings[1].find("column \"note\" is NOT NULL without a default and mirrors nothing"),
              std::string::npos);
    columns[5].has_default = columns[8].has_default = true;
    EXPECT_TRUE(build(R"({"name": "metadata.name", "size": "spec.size", "total": "spec.total"})", false, "", columns)
                    .warnings.empty());
}

// An offline server: the columns say what the fields hold.
TEST(ColumnMap, WithoutASchema) {
    const std::vector<TableColumn> columns{
        {"name", "text", "text", 'S', true},
        {"replicas", "integer", "integer", 'N', true},
        {"size", "bigint", "bigint", 'N'},
        {"share", "numeric(5,2)", "numeric", 'N'},
        {"since", "timestamp with time zone", "timestamp with time zone", 'D'},
        {"labels", "jsonb", "jsonb", 'U'},
        {"memory", "text", "text", 'S'},
        {"mode", "public.mode", "public.mode", 'E'},
        {"secret", "bytea", "bytea", 'U'},
        {"on", "boolean", "boolean", 'B'},
        {"tags", "text[]", "text[]", 'A'},
        {"small", "smallint", "smallint", 'N'},
    };
    const auto build_blind = [&](const std::string &map) {
        return build_column_map({map, "net.things", "Thing", &columns, nullptr, false, ""});
    };
    const ColumnMap map = build_blind(R"({"name": "metadata.name", "replicas": "spec.replicas", "size": "spec.size",
        "share": "spec.share", "since": "status.since", "labels": "metadata.labels", "mode": "spec.mode",
        "memory": "spec.resources.limits.memory", "secret": "spec.secret", "on": "spec.on"})");
    std::string types;
    for (const Column &column : map.columns)
        types += std::string(to_text(column.role)) + ' ' + to_text(column.type) + ' ' + column.format + '\n';
    EXPECT_EQ(types, "key string \nspec integer int32\nspec integer int64\nspec number \nstatus time date-time\n"
                     "meta json \nspec quantity \nspec string \nspec string byte\nspec boolean \n");
    EXPECT_TRUE(map.warnings.empty()) << "nobody knows which fields may be absent";
    EXPECT_THROW(build_blind(R"({"name": "metadata.name", "tags": "spec.tags"})"), ColumnMapError);
    EXPECT_THROW(build_blind(R"({"name": "metadata.name", "small": "spec.small"})"), ColumnMapError);
}

TEST(ColumnMap, NearestWords) {
    EXPECT_EQ(nearest("Nod", {"Node", "Pod", "Namespace"}), "\"Node\", \"Pod\"");
    EXPECT_EQ(nearest("zzzzzz", {"Node"}), "");
    EXPECT_EQ(nearest("", {}), "");
}

} // namespace
