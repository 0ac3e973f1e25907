// Columns of generated tables: which, in what order, called what, of what type.
#include "mirror/definition/table_plan.hpp"

#include "mirror/definition/column_map.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "pg/no_postgres.hpp"

namespace {

using namespace dbnet::mirror;
using dbnet::kubernetes::OpenApiDocument;
using dbnet::kubernetes::Schema;

const std::string long_name = "aFieldWhoseNameIsLongerThanAnyIdentifierOfPostgreSQLMayBeAtAllFirst";

// `spec`, `status` and `top`: properties as JSON text; empty: the kind has no such part.
Schema kind_with(const std::string &spec, const std::string &status, const std::string &top = "") {
    std::string properties =
        R"("apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object", "properties": {
        "name": {"type": "string"}, "namespace": {"type": "string"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}}}})";
    for (const auto &[name, part] : {std::pair{"spec", spec}, {"status", status}})
        if (!part.empty())
            properties += ", \"" + std::string(name) + "\": " + part;
    if (!top.empty())
        properties += ", " + top;
    return OpenApiDocument::parse(
               R"({"components": {"schemas": {"Kind": {"type": "object", "x-kubernetes-group-version-kind":
        [{"group": "", "version": "v1", "kind": "Kind"}], "properties": {)" +
               properties + "}}}}}")
        .schema("", "v1", "Kind");
}

std::string object(const std::string &properties) {
    return R"({"type": "object", "properties": {)" + properties + "}}";
}

// "name path type" of each column, without the keys and the pg_catalog of types.
std::vector<std::string> columns(const Schema &schema) {
    std::vector<std::string> lines;
    const TablePlan plan = plan_table({&schema, true});
    for (size_t i = plan.key_columns; i < plan.columns.size(); i++)
        lines.push_back(plan.columns[i].name + " " + plan.columns[i].path + " " + plan.columns[i].type.substr(11));
    return lines;
}

using Lines = std::vector<std::string>;
const std::string meta = "labels metadata.labels jsonb", more_meta = "annotations metadata.annotations jsonb";

TEST(MirrorTablePlan, OrderAndTypes) {
    const Schema schema = kind_with(
        object(R"("replicas": {"type": "integer", "format": "int32"}, "asn": {"type": "integer"},
          "ratio": {"type": "number"}, "paused": {"type": "boolean"}, "note": {"type": "string"},
          "key": {"type": "string", "format": "byte"}, "since": {"type": "string", "format": "date-time"},
          "port": {"x-kubernetes-int-or-string": true}, "template": {"type": "object", "properties": {"a": {"type": "string"}}},
          "list": {"type": "array", "items": {"type": "string"}}, "free": {"x-kubernetes-preserve-unknown-fields": true})"),
        object(R"("replicas": {"type": "integer"}, "readyReplicas": {"type": "integer", "format": "int32"})"),
        R"("data": {"type": "object", "additionalProperties": {"type": "string"}}, "immutable": {"type": "boolean"})");
    EXPECT_EQ(columns(schema),
              (Lines{"data data jsonb", "immutable immutable bool", "asn spec.asn int8", "free spec.free jsonb",
                     "key spec.key bytea", "list spec.list jsonb", "note spec.note text", "paused spec.paused bool",
                     "port spec.port jsonb", "ratio spec.ratio float8", "replicas spec.replicas int4",
                     "since spec.since timestamptz(0)", "template spec.template jsonb",
                     "status_readyReplicas status.readyReplicas int4", "status_replicas status.replicas int8", meta,
                     more_meta}));
}

TEST(MirrorTablePlan, Keys) {
    const Schema schema = kind_with("", "");
    const auto names = [&](bool namespaced, bool one_namespace) {
        const TablePlan plan = plan_table({&schema, namespaced, one_namespace});
        std::string list;
        for (size_t i = 0; i < plan.key_columns; i++)
            list += plan.columns[i].name + " " + plan.columns[i].path + ";";
        return list;
    };
    EXPECT_EQ(names(true, false), "namespace metadata.namespace;name metadata.name;");
    EXPECT_EQ(names(true, true), "name metadata.name;");
    EXPECT_EQ(names(false, false), "name metadata.name;");
}

TEST(MirrorTablePlan, ClashesStepAside) {
    const Schema schema =
        kind_with(object(R"("name": {"type": "string"}, "labels": {"type": "object"}, "data": {"type": "string"},
          "status_phase": {"type": "string"}, "spec_name": {"type": "string"}, "xmin": {"type": "string"}, "Data": {"type": "string"})"),
                  object(R"("phase": {"type": "string"})"), R"("data": {"type": "object"})");
    EXPECT_EQ(columns(schema), (Lines{"data data jsonb", "Data spec.Data text", "spec_data spec.data text",
                                      "spec_labels spec.labels jsonb", "spec_name spec.name text",
                                      "spec_spec_name spec.spec_name text", "spec_status_phase spec.status_phase text",
                                      "spec_xmin spec.xmin text", "status_phase status.phase text", meta, more_meta}));
}

// What else a later version of the kind has changes neither name.
TEST(MirrorTablePlan, LongNamesAreStable) {
    const std::string field = "\"" + long_name + "\": {\"type\": \"string\"}",
                      other = "\"" + long_name + "Too\": {\"type\": \"string\"}";
    const Lines alone = columns(kind_with(object(field), ""));
    const Lines both =
        columns(kind_with(object(other + ", " + field + ", \"a\": {\"type\": \"string\"}"), object(field)));
    EXPECT_EQ(alone[0], "aFieldWhoseNameIsLongerThanAnyIdentifierOfPostgreSQLMa_25edc252 spec." + long_name + " text");
    EXPECT_EQ(both[1], alone[0]);
    EXPECT_NE(both[2].substr(0, 63), alone[0].substr(0, 63));
    for (const std::string &line : both)
        EXPECT_LE(line.find(' '), 63u) << line;
}

TEST(MirrorTablePlan, PartsOfOnePiece) {
    EXPECT_EQ(columns(kind_with(R"({"type": "object", "x-kubernetes-preserve-unknown-fields": true})",
                                R"({"type": "string"})")),
              (Lines{"spec spec jsonb", "status status text", meta, more_meta}));
    EXPECT_EQ(
        columns(kind_with(
            R"({"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"a": {"type": "string"}}})", "")),
        (Lines{"spec spec jsonb", meta, more_meta}));
}

TEST(MirrorTablePlan, IsAColumnMapThatHolds) {
    const Schema schema =
        kind_with(R"({"type": "object", "x-kubernetes-preserve-unknown-fields": true})",
                  object(R"("ready": {"type": "boolean"}, "at": {"type": "string", "format": "date-time"})"),
                  R"("data": {"type": "object", "additionalProperties": {"type": "string"}})");
    const TablePlan plan = plan_table({&schema, true});
    std::vector<TableColumn> table;
    for (const PlannedColumn &column : plan.columns) {
        const std::string type = column.type.substr(11);
        table.push_back({column.name, type,
                         type == "bool"                    ? "boolean"
                         : type.starts_with("timestamptz") ? "timestamp with time zone"
                                                           : type,
                         'S', column.path == "metadata.name" || column.path == "metadata.namespace", false, false});
    }
    const ColumnMap map = build_column_map({column_map_of(plan), "net.things", "Kind", &table, &schema, true, ""});
    EXPECT_EQ(map.columns.size(), plan.columns.size());
    EXPECT_EQ(map.warnings, std::vector<std::string>());
}

TEST(MirrorTablePlan, Comments) {
    const auto schema = kind_with(object(R"("a": {"type": "string", "description": "First sentence.\n\nMore."})"),
                                  object(R"("b": {"type": "string"})"));
    const TablePlan plan = plan_table({&schema});
    EXPECT_EQ(plan.columns[1].comment, "First sentence. (spec.a)");
    EXPECT_EQ(plan.columns[2].comment, "(status.b; written by device reports only)");
    EXPECT_EQ(shortened("One. Two is longer. Three", 21), "One. Two is longer.");
    EXPECT_EQ(shortened("word word word word", 12), "word word...");
    EXPECT_EQ(shortened("  spaces \n and\tlines ", 100), "spaces and lines");
    EXPECT_EQ(shortened("\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9", 7), "\xC3\xA9\xC3\xA9...");
    EXPECT_EQ(shortened("", 10), "");
}

} // namespace
