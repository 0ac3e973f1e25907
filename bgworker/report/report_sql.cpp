// Implementation of report_sql.hpp. Runs in the mirror worker.
#include "bgworker/report/report_sql.hpp"

#include "pg/no_postgres.hpp"

namespace dbnet::bgworker {

namespace {

using mirror::Mirror;

// The key of a row `alias` as two texts; a mirror without a namespace column has one namespace at most.
std::string key_of(const Mirror &mirror, const char *alias) {
    std::string prefix = std::string(alias) + ".";
    std::string name_space =
        mirror.namespace_column.empty() ? "''" : prefix + quoted(mirror.namespace_column) + "::pg_catalog.text";
    return name_space + ", " + prefix + quoted(mirror.name_column) + "::pg_catalog.text";
}

// Condition that row `t` has the key (`name_space`, `name`). Operators are qualified: search_path is the owner's.
std::string has_key(const Mirror &mirror, const std::string &name_space, const std::string &name) {
    std::string condition = "t." + quoted(mirror.name_column) + " OPERATOR(pg_catalog.=) " + name;
    if (!mirror.namespace_column.empty())
        condition += " AND t." + quoted(mirror.namespace_column) + " OPERATOR(pg_catalog.=) " + name_space;
    return condition;
}

// A jsonb object of the mapped columns of row t; in several calls, as a function takes 100 arguments at most.
std::string mapped_columns(const Mirror &mirror) {
    std::string result = "'{}'::pg_catalog.jsonb";
    int count = 0;
    for (const mirror::Column &column : mirror.mapping.columns) {
        if (column.role == mirror::Role::key)
            continue;
        std::string literal = "'";
        for (char c : column.name)
            literal += c == '\'' ? std::string("''") : std::string(1, c);
        result += count++ % 40 == 0 ? " OPERATOR(pg_catalog.||) pg_catalog.jsonb_build_object(" : ", ";
        result += literal + "', t." + quoted(column.name);
        if (count % 40 == 0)
            result += ")";
    }
    return count % 40 == 0 ? result : result + ")";
}

std::string records(const Mirror &mirror) {
    return "pg_catalog.jsonb_populate_recordset(NULL::" + mirror.qualified_name + ", $1::pg_catalog.jsonb) AS r";
}

std::string returning(const Mirror &mirror) {
    return " RETURNING " + key_of(mirror, "t") + ", " + mapped_columns(mirror);
}

} // namespace

std::string quoted(const std::string &name) {
    std::string result = "\"";
    for (char c : name)
        result += c == '"' ? std::string("\"\"") : std::string(1, c);
    return result + "\"";
}

std::string select_rows(const Mirror &mirror, RowLock lock) {
    std::string sql = "SELECT k.position, " + mapped_columns(mirror) +
                      " FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) WITH ORDINALITY AS k(namespace, "
                      "name, position) JOIN " +
                      mirror.qualified_name + " AS t ON " + has_key(mirror, "k.namespace", "k.name");
    if (lock == RowLock::update)
        sql += " FOR NO KEY UPDATE OF t SKIP LOCKED";
    if (lock == RowLock::remove)
        sql += " FOR UPDATE OF t SKIP LOCKED";
    return sql;
}

std::string insert_rows(const Mirror &mirror, const std::vector<WrittenColumn> &columns, bool skip_conflicts) {
    std::string names = quoted(mirror.name_column), values = "r." + quoted(mirror.name_column);
    if (!mirror.namespace_column.empty()) {
        names += ", " + quoted(mirror.namespace_column);
        values += ", r." + quoted(mirror.namespace_column);
    }
    for (const WrittenColumn &written : columns) {
        if (written.is_default)
            continue; // an INSERT takes the default of what it does not name
        names += ", " + quoted(written.column->name);
        values += ", r." + quoted(written.column->name);
    }
    return "INSERT INTO " + mirror.qualified_name + " AS t (" + names + ") SELECT " + values + " FROM " +
           records(mirror) + (skip_conflicts ? " ON CONFLICT DO NOTHING" : "") + returning(mirror);
}

std::string import_rows(const Mirror &mirror, const std::vector<const mirror::Column *> &columns) {
    std::string names, values, arrays, aliases;
    int count = 0;
    const auto add = [&](const std::string &name, const std::string &type) {
        const std::string number = std::to_string(++count), separator = count == 1 ? "" : ", ";
        names += separator + quoted(name);
        values += separator + "r.c" + number;
        if (type == "jsonb")
            values += "::pg_catalog.jsonb";
        else if (type != "text" && type != "character varying") // which the column takes as they are
            values += "::" + type;
        arrays += separator + "pg_catalog.unnest($" + number + ")";
        aliases += separator + "c" + number;
    };
    add(mirror.name_column, "text");
    if (!mirror.namespace_column.empty())
        add(mirror.namespace_column, "text");
    for (const mirror::Column *column : columns)
        add(column->name, column->column_type);
    return "INSERT INTO " + mirror.qualified_name + " AS t (" + names + ") SELECT " + values + " FROM ROWS FROM (" +
           arrays + ") AS r(" + aliases + ")";
}

std::string update_rows(const Mirror &mirror, const std::vector<WrittenColumn> &columns) {
    std::string assignments;
    for (const WrittenColumn &written : columns)
        assignments += (assignments.empty() ? "" : ", ") + quoted(written.column->name) + " = " +
                       (written.is_default ? "DEFAULT" : "r." + quoted(written.column->name));
    return "UPDATE " + mirror.qualified_name + " AS t SET " + assignments + " FROM " + records(mirror) + " WHERE " +
           has_key(mirror, "r." + quoted(mirror.namespace_column), "r." + quoted(mirror.name_column)) +
           returning(mirror);
}

std::string delete_rows(const Mirror &mirror) {
    return "DELETE FROM " + mirror.qualified_name +
           " AS t USING ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS k(namespace, name) WHERE " +
           has_key(mirror, "k.namespace", "k.name") + " RETURNING " + key_of(mirror, "t");
}

} // namespace dbnet::bgworker
