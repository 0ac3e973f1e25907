// Tables that DBNet makes (see table_creation.hpp); backends. Names of types are complete, so that the caller's
// search_path plays no part.
#include "mirror/definition/table_creation.hpp"

#include "mirror/functions/as_extension.hpp"
#include "pg/spi.hpp"

extern "C" {
#include "catalog/namespace.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/varlena.h"
}

namespace dbnet::mirror {
namespace {

const pg::Statement may_create{"SELECT has_schema_privilege($1, $2, 'CREATE')"};

std::string literal(const std::string &text) {
    std::string quoted;
    pg::call([&] { quoted = quote_literal_cstr(text.c_str()); });
    return quoted;
}

void comment_on_column(const std::string &table, const PlannedColumn &column) {
    pg::execute_once("COMMENT ON COLUMN " + table + "." + pg::quoted_name(column.name) + " IS " +
                     literal(column.comment));
}

} // namespace

std::string name_for_new_table(std::string_view name) {
    const std::string terminated(name);
    struct Place {
        const char *schema, *table; // schema: as written, nullptr when there is none
        Oid found;
    };
    const Place place = pg::call([&] {
        const RangeVar *range = makeRangeVarFromNameList(textToQualifiedNameList(cstring_to_text(terminated.c_str())));
        const Oid found = range->schemaname != nullptr && range->catalogname == nullptr
                              ? get_namespace_oid(range->schemaname, true)
                              : RangeVarGetCreationNamespace(range);
        return Place{OidIsValid(found) ? get_namespace_name(found) : range->schemaname, range->relname, found};
    });
    const std::string schema = pg::quoted_name(place.schema);
    if (!OidIsValid(place.found))
        throw pg::error(ERRCODE_UNDEFINED_SCHEMA,
                        "table " + terminated + " cannot be made: schema " + schema + " does not exist")
            .hint("CREATE SCHEMA " + schema + ";");
    const Oid caller = GetUserId();
    if (!as_extension([&] { return pg::execute(may_create, caller, place.found).boolean(0, 0); }))
        throw pg::error(ERRCODE_INSUFFICIENT_PRIVILEGE,
                        "table " + terminated + " cannot be made: permission denied for schema " + schema)
            .hint("GRANT CREATE ON SCHEMA " + schema + " TO the role that makes the mirror.");
    return schema + "." + pg::quoted_name(place.table);
}

void create_table(const std::string &name, const std::string &comment, const TablePlan &plan) {
    std::string columns, key;
    for (size_t i = 0; i < plan.columns.size(); i++) {
        const std::string column = pg::quoted_name(plan.columns[i].name);
        columns += column + " " + plan.columns[i].type + ", ";
        if (i < plan.key_columns)
            key += (key.empty() ? "" : ", ") + column;
    }
    pg::execute_once("CREATE TABLE " + name + " (" + columns + "PRIMARY KEY (" + key + "))");
    pg::execute_once("COMMENT ON TABLE " + name + " IS " + literal(comment));
    for (const PlannedColumn &column : plan.columns)
        comment_on_column(name, column);
}

void add_column(const std::string &name, const PlannedColumn &column) {
    pg::execute_once("ALTER TABLE " + name + " ADD COLUMN " + pg::quoted_name(column.name) + " " + column.type);
    comment_on_column(name, column);
}

} // namespace dbnet::mirror
