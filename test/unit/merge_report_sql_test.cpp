// SQL that reports run on a user's table: every name quoted and qualified, no value inside.
#include "bgworker/report/report_sql.hpp"
#include "merge_support.hpp"

#include <gtest/gtest.h>

using namespace dbnet::bgworker;
using dbnet::mirror::Mirror;
using dbnet::mirror::Role;
using dbnet::mirror::ValueType;

namespace {

Mirror odd_mirror() {
    Mirror mirror;
    mirror.qualified_name = R"("My net".nodes)";
    mirror.name_column = "na\"me";
    mirror.namespace_column = "space";
    mirror.mapping.columns = {
        dbnet::test::column("na\"me", "metadata.name", Role::key, ValueType::string, "text"),
        dbnet::test::column("space", "metadata.namespace", Role::key, ValueType::string, "text"),
        dbnet::test::column("it's", "spec.a", Role::spec, ValueType::string, "text"),
        dbnet::test::column("b", "status.b", Role::status, ValueType::string, "text"),
    };
    return mirror;
}

constexpr char row_json[] = "'{}'::pg_catalog.jsonb OPERATOR(pg_catalog.||) "
                            R"(pg_catalog.jsonb_build_object('it''s', t."it's", 'b', t."b"))";
constexpr char key_matches[] =
    R"(t."na""me" OPERATOR(pg_catalog.=) k.name AND t."space" OPERATOR(pg_catalog.=) k.namespace)";

TEST(ReportSql, Select) {
    std::string plain =
        std::string("SELECT k.position, ") + row_json +
        " FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) WITH ORDINALITY AS k(namespace, name, position)"
        R"( JOIN "My net".nodes AS t ON )" +
        key_matches;
    EXPECT_EQ(select_rows(odd_mirror(), RowLock::none), plain);
    EXPECT_EQ(select_rows(odd_mirror(), RowLock::update), plain + " FOR NO KEY UPDATE OF t SKIP LOCKED");
    EXPECT_EQ(select_rows(odd_mirror(), RowLock::remove), plain + " FOR UPDATE OF t SKIP LOCKED");
}

TEST(ReportSql, UpdateWritesValuesAndDefaults) {
    Mirror mirror = odd_mirror();
    EXPECT_EQ(update_rows(mirror, {{&mirror.mapping.columns[2]}, {&mirror.mapping.columns[3], true}}),
              std::string(R"(UPDATE "My net".nodes AS t SET "it's" = r."it's", "b" = DEFAULT FROM )"
                          R"(pg_catalog.jsonb_populate_recordset(NULL::"My net".nodes, $1::pg_catalog.jsonb) AS r )"
                          R"(WHERE t."na""me" OPERATOR(pg_catalog.=) r."na""me" )"
                          R"(AND t."space" OPERATOR(pg_catalog.=) r."space" )"
                          R"(RETURNING t."space"::pg_catalog.text, t."na""me"::pg_catalog.text, )") +
                  row_json);
}

TEST(ReportSql, InsertLeavesDefaultsToTheTable) {
    Mirror mirror = odd_mirror();
    std::string sql = insert_rows(mirror, {{&mirror.mapping.columns[2]}, {&mirror.mapping.columns[3], true}}, true);
    EXPECT_EQ(sql.substr(0, sql.find(" FROM ")),
              R"(INSERT INTO "My net".nodes AS t ("na""me", "space", "it's") SELECT r."na""me", r."space", r."it's")");
    EXPECT_NE(sql.find(" ON CONFLICT DO NOTHING RETURNING "), std::string::npos);
    EXPECT_EQ(insert_rows(mirror, {}, false).find("ON CONFLICT"), std::string::npos);
}

TEST(ReportSql, MirrorOfOneNamespaceHasNoColumnForIt) {
    Mirror mirror = odd_mirror();
    mirror.namespace_column.clear();
    mirror.mapping.columns.erase(mirror.mapping.columns.begin() + 1);
    EXPECT_EQ(
        delete_rows(mirror),
        R"(DELETE FROM "My net".nodes AS t USING ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS k(namespace, name) )"
        R"(WHERE t."na""me" OPERATOR(pg_catalog.=) k.name RETURNING '', t."na""me"::pg_catalog.text)");
}

TEST(ReportSql, WideTablesStayBelowTheLimitOfArguments) {
    Mirror mirror = odd_mirror();
    mirror.mapping.columns.resize(2);
    for (int i = 0; i < 80; i++)
        mirror.mapping.columns.push_back(
            dbnet::test::column(("c" + std::to_string(i)).c_str(), "spec.x", Role::spec, ValueType::string, "text"));
    std::string sql = select_rows(mirror, RowLock::none);
    size_t calls = 0;
    for (size_t at = sql.find("build_object("); at != std::string::npos; at = sql.find("build_object(", at + 1))
        calls++;
    EXPECT_EQ(calls, 2u);
    EXPECT_NE(sql.find("'c79', t.\"c79\") FROM"), std::string::npos);
}

TEST(ReportSql, ImportCastsWhatIsNoText) {
    Mirror mirror = odd_mirror();
    std::vector<const dbnet::mirror::Column *> columns;
    for (const char *type : {"text", "character varying", "jsonb", "timestamp(0) with time zone"})
        mirror.mapping.columns.push_back(dbnet::test::column(type, "spec.x", Role::spec, ValueType::string, type));
    for (size_t i = 4; i < mirror.mapping.columns.size(); i++)
        columns.push_back(&mirror.mapping.columns[i]);
    EXPECT_EQ(import_rows(mirror, columns),
              R"(INSERT INTO "My net".nodes AS t ("na""me", "space", "text", "character varying", "jsonb", )"
              R"("timestamp(0) with time zone") SELECT r.c1, r.c2, r.c3, r.c4, r.c5::pg_catalog.jsonb, )"
              R"(r.c6::timestamp(0) with time zone FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), )"
              R"(pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5), pg_catalog.unnest($6)) AS )"
              R"(r(c1, c2, c3, c4, c5, c6))");
    mirror.namespace_column.clear();
    EXPECT_EQ(
        import_rows(mirror, {}),
        R"(INSERT INTO "My net".nodes AS t ("na""me") SELECT r.c1 FROM ROWS FROM (pg_catalog.unnest($1)) AS r(c1))");
}

} // namespace
