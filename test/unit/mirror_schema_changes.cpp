// What dbnet.refresh_schema() tells of two schemas, and what it records.
#include "mirror/definition/schema_changes.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "pg/no_postgres.hpp"

namespace {

using namespace dbnet::mirror;
using dbnet::kubernetes::OpenApiDocument;
using dbnet::kubernetes::Schema;

// `spec`: its properties as JSON text.
Schema kind(const std::string &spec, const std::string &required = "") {
    return OpenApiDocument::parse(
               R"({"components": {"schemas": {"Kind": {"type": "object", "x-kubernetes-group-version-kind":
        [{"group": "", "version": "v1", "kind": "Kind"}], "properties": {"metadata": {"type": "object", "properties": {
        "name": {"type": "string"}, "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}}}},
        "spec": {"type": "object", )" +
               (required.empty() ? "" : "\"required\": [\"" + required + "\"], ") + R"("properties": {)" + spec +
               "}}}}}}}")
        .schema("", "v1", "Kind");
}

const std::vector<TableColumn> known_columns{{"name", "text", "text", 'S', true, false, false},
                                             {"size", "integer", "integer", 'N', false, false, false},
                                             {"mode", "text", "text", 'S', false, false, false},
                                             {"doc", "jsonb", "jsonb", 'U', false, false, false},
                                             {"note", "text", "text", 'S', false, false, false}};

const std::string size = R"("size": {"type": "integer", "format": "int32", "maximum": 10, "description": "How big."})";
const std::string mode = R"("mode": {"type": "string", "enum": ["a", "b"]})";
const std::string doc = R"("doc": {"type": "object", "properties": {"x": {"type": "integer", "maximum": 5},
    "y": {"type": "string"}, "list": {"type": "array", "items": {"type": "object", "properties": {"z": {"type": "string"}}}}}})";

class SchemaChanges : public testing::Test {
protected:
    // The mirror as dbnet.mirror() recorded it.
    void record(const Schema &schema) {
        question_.map = "{}";
        question_.table = "net.kinds";
        question_.kind = "Kind";
        question_.columns = &known_columns;
        question_.schema = &schema;
        for (const auto &[name, path] :
             {std::pair{"name", "metadata.name"}, {"size", "spec.size"}, {"mode", "spec.mode"}, {"doc", "spec.doc"}})
            stored_.push_back(map_column(question_, {name, path, std::nullopt, ""}));
        stored_[1].column.on_drift = OnDrift::enforce;
        known_.emplace();
        for (const PlannedColumn &column : plan_table({&schema}).columns)
            known_->push_back(column.path);
    }

    // "column change detail" of each change.
    std::vector<std::string> compare(const Schema &schema, bool generated = true) {
        question_.schema = &schema;
        const TablePlan plan = plan_table({&schema});
        result_ = compare_schema({question_, &stored_, &plan, &known_, generated});
        std::vector<std::string> lines;
        for (const SchemaChange &change : result_.changes)
            lines.push_back(change.column + " " + to_text(change.kind) + " " + change.detail);
        return lines;
    }

    const Column *kept(std::string_view name) const {
        const auto found = std::ranges::find(result_.map.columns, name, &Column::name);
        return found == result_.map.columns.end() ? nullptr : &*found;
    }

    ColumnMapQuestion question_;
    std::vector<MappedColumn> stored_;
    std::optional<std::vector<std::string>> known_;
    SchemaComparison result_;
};

using Lines = std::vector<std::string>;

TEST_F(SchemaChanges, NothingHasChanged) {
    const Schema schema = kind(size + "," + mode + "," + doc);
    record(schema);
    EXPECT_EQ(compare(schema), Lines());
    EXPECT_EQ(result_.map.columns.size(), 4u);
    EXPECT_EQ(kept("size")->on_drift, OnDrift::enforce) << "the caller's settings stay";
    EXPECT_FALSE(result_.has_other_columns);
}

TEST_F(SchemaChanges, FieldThatIsGone) {
    const Schema before = kind(size + "," + mode + "," + doc), after = kind(mode + "," + doc);
    record(before);
    const Lines lines = compare(after);
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_TRUE(lines[0].starts_with("size gone ") &&
                lines[0].ends_with("it stays, with its values, and mirrors nothing"))
        << lines[0];
    EXPECT_EQ(result_.gone, Lines{"spec.size"});
    EXPECT_EQ(kept("size"), nullptr);
    EXPECT_TRUE(result_.has_other_columns);
}

TEST_F(SchemaChanges, TypeThatTheColumnHolds) {
    const Schema before = kind(size + "," + mode + "," + doc),
                 after = kind(size + R"(,"mode": {"type": "string", "format": "date-time"},)" + doc);
    record(before);
    EXPECT_EQ(compare(after), Lines{"mode type string -> time (date-time)"});
    EXPECT_EQ(kept("mode")->type, ValueType::time);
    ASSERT_EQ(result_.retyped.size(), 1u);
    EXPECT_EQ(result_.retyped[0].name, "mode");
}

TEST_F(SchemaChanges, TypeThatTheColumnDoesNotHold) {
    const Schema before = kind(size + "," + mode + "," + doc),
                 after = kind(R"("size": {"type": "boolean"},)" + mode + "," + doc);
    record(before);
    EXPECT_EQ(
        compare(after),
        Lines{"size type column \"size\" (spec.size) has type integer, but the field holds boolean. Use type "
              "boolean. ALTER TABLE net.kinds ALTER COLUMN \"size\" TYPE ... makes it fit: do so and call this with "
              "apply => true in one transaction"});
    EXPECT_EQ(kept("size")->type, ValueType::integer) << "stays as it was until the column fits";
    EXPECT_FALSE(result_.has_other_columns);
}

TEST_F(SchemaChanges, Rules) {
    const Schema
        before = kind(size + "," + mode + "," + doc),
        after = kind(
            R"("size": {"type": "integer", "format": "int32", "maximum": 20, "minimum": 1, "description": "How big."},
        "mode": {"type": "string", "enum": ["b", "c"]}, "doc": {"type": "object", "properties": {"x": {"type": "string"},
        "new": {"type": "string"}, "list": {"type": "array", "items": {"type": "object", "properties": {"z": {"type": "string", "pattern": "^a"}}}}}})");
    record(before);
    EXPECT_EQ(
        compare(after),
        (Lines{"size rules maximum 10 -> 20; minimum 1 is new",
               "mode rules takes \"c\" too; does not take \"a\" any more",
               "doc rules list[].z: pattern ^a is new; x: maximum 5 is gone; x: type int64 -> string; y: is gone; "
               "new: is new"}));
}

TEST_F(SchemaChanges, RequiredAndDescription) {
    const Schema before = kind(size + "," + mode + "," + doc),
                 after = kind(
                     R"("size": {"type": "integer", "format": "int32", "maximum": 10, "description": "How large."},)" +
                         mode + "," + doc,
                     "mode");
    record(before);
    EXPECT_EQ(compare(after), (Lines{"size description How large.", "mode required optional -> required"}));
    EXPECT_TRUE(result_.map.descriptions.at("mode").required);
}

TEST_F(SchemaChanges, NewFields) {
    const Schema before = kind(size + "," + mode + "," + doc),
                 after = kind(size + "," + mode + "," + doc +
                              R"(,"note": {"type": "string"}, "extra": {"type": "integer", "format": "int32"})");
    record(before);
    EXPECT_EQ(
        compare(after),
        (Lines{"extra new ALTER TABLE net.kinds ADD COLUMN \"extra\" int4",
               "note new the table has a column of that name, which mirrors nothing: map it with argument columns "
               "of dbnet.alter_mirror()"}));
    ASSERT_EQ(result_.added.size(), 1u);
    EXPECT_EQ(result_.added[0].name, "extra");
    EXPECT_EQ(compare(after, false).front(), "extra new ALTER TABLE net.kinds ADD COLUMN \"extra\" int4; then map it "
                                             "with argument columns of dbnet.alter_mirror()");
    EXPECT_TRUE(result_.added.empty()) << "not to a table of the user's";
    known_.reset();
    EXPECT_EQ(compare(after), Lines()) << "no schema was ever read: nobody knows what is new";
}

TEST_F(SchemaChanges, ColumnThatTheTableHasLost) {
    const Schema schema = kind(size + "," + mode + "," + doc);
    record(schema);
    const std::vector<TableColumn> fewer{known_columns[0], known_columns[1], known_columns[3]};
    question_.columns = &fewer;
    const Lines lines = compare(schema);
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_TRUE(lines[0].starts_with("mode no column column \"mode\" of table net.kinds does not exist")) << lines[0];
    EXPECT_NE(kept("mode"), nullptr);
}

TEST(RulesDifference, WhatIsKnown) {
    EXPECT_EQ(rules_difference("", "\"string\""), "not known -> known");
    EXPECT_EQ(rules_difference("", "\"any\""), "");
    EXPECT_EQ(rules_difference("\"string\"", "{\"type\": \"string\"}"), "") << "two ways to say the same";
    EXPECT_EQ(rules_difference("{\"type\": \"number\", \"minimum\": 1}", "{\"type\": \"number\", \"minimum\": 1.0}"),
              "");
    EXPECT_EQ(rules_difference(R"({"ref": "a.B", "named": {"a.B": {"fields": {"x": "string"}}}})",
                               R"({"ref": "a.B", "named": {"a.B": {"fields": {"x": "string", "w": "int32"}}}})"),
              "B.w: is new");
    EXPECT_EQ(rules_difference(R"({"fields": {"a": "string", "b": "string", "c": "string", "d": "string", "e": "string",
        "f": "string", "g": "string", "h": "string"}})",
                               "{\"fields\": {}}"),
              "a: is gone; b: is gone; c: is gone; d: is gone; e: is gone; f: is gone; and 2 more");
}

} // namespace
