// Implementation of report_import.hpp. Runs in the mirror worker.
#include "bgworker/report/report_import.hpp"

#include "bgworker/report/report_sql.hpp"
#include "mirror/store/table_lock.hpp"
#include "mirror/values/row_form.hpp"
#include "pg/as_role.hpp"
#include "pg/deadline.hpp"
#include "pg/report_scope.hpp"
#include "pg/spi.hpp"
#include "pg/text_columns.hpp"
#include "settings.hpp"

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace dbnet::bgworker {

namespace {

using mirror::Column;
using mirror::Json;
using mirror::Mirror;
using Text = std::optional<std::string>;

// $1 relation, $2 field manager: nothing is written for a mirror that was removed or made anew meanwhile. A row that a
// user deleted must not come back as long as its deletion is on its way, hence the tombstones.
const pg::Statement insert_objects{R"sql(
    INSERT INTO dbnet.object (relation, namespace, name, uid, resource_version, generation, live, managers, base, health,
                              health_message, controller, last_manager)
    SELECT m.relation, v.namespace, v.name, v.uid, v.resource_version, v.generation::bigint, v.live::jsonb, v.managers::jsonb,
           v.base::jsonb, v.health, v.health_message, v.controller, v.last_manager
    FROM dbnet.mirrored_relation AS m,
         unnest($3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
             AS v(namespace, name, uid, resource_version, generation, live, managers, base, health, health_message, controller,
                  last_manager)
    WHERE m.relation = $1::regclass AND m.field_manager = $2
        AND NOT EXISTS (SELECT FROM dbnet.tombstone AS t WHERE t.relation = m.relation)
)sql"};

// Whether what an INSERT is given is what the row will hold: no rule, no partition, no trigger before the row.
const pg::Statement select_is_plain_table{
    "SELECT c.relkind = 'r' AND NOT c.relhasrules AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger AS t"
    " WHERE t.tgrelid = c.oid AND t.tgenabled IN ('O', 'A') AND t.tgtype & 7 = 7)" // row, before, insert
    " FROM pg_catalog.pg_class AS c WHERE c.oid = $1"};

// Digits of the fraction of a second in a time as the API writes it.
size_t fraction_digits(const std::string &time) {
    const size_t point = time.find('.');
    return point == std::string::npos ? 0 : time.find_first_not_of("0123456789", point + 1) - point - 1;
}

// The column gives back just this value.
bool keeps(const Column &column, const Json &value) {
    const std::string &type = column.column_type;
    if (type == "jsonb")
        return true;
    if (type == "text" || type == "character varying")
        return value.is_string();
    if (type == "boolean")
        return value.is_boolean();
    if (type == "bigint" || type == "integer" || type == "smallint")
        return value.is_number_integer();
    if (type == "numeric" || type == "double precision")
        return value.is_number();
    const bool is_second = type == "timestamp(0) with time zone";
    if (is_second || type == "timestamp(6) with time zone" || type == "timestamp with time zone")
        return value.is_string() && fraction_digits(value.get_ref<const std::string &>()) <= (is_second ? 0 : 6);
    return false;
}

// The batch as texts, column by column: the rows for the table and the bases for the records, made of the same values.
class Batch {
public:
    Batch(const Mirror &mirror, const std::set<std::string> &not_null) {
        for (const Column &column : mirror.mapping.columns) {
            const std::string path = Json(column.path).dump() + ":";
            if (column.role == mirror::Role::key)
                keys_ += (keys_.empty() ? "" : ",") + path + "true"; // stands for the row as a whole, as in merge.cpp
            else
                fields_.push_back({&column, path, not_null.count(column.name) > 0, {}});
        }
    }

    void add(const QueuedEvent &event) {
        // What we wrote ourselves is an answer that was lost, or a copy's; that is decided the long way.
        if (event.kind != QueuedEvent::Kind::present || !event.seen.owned.empty() || !event.seen.stamp.empty())
            throw NotPlain();
        std::string base = "{" + keys_;
        for (Field &field : fields_) {
            const Json *value = mirror::find_field(event.seen.values, field.column->path);
            if (value ? !keeps(*field.column, *value) : field.not_null)
                throw NotPlain();
            if (!value) {
                field.values.emplace_back();
                continue;
            }
            std::string text = value->dump();
            ((base += ",") += field.base_name) += text;
            const bool is_json = field.column->column_type == "jsonb";
            field.values.emplace_back(value->is_string() && !is_json ? value->get<std::string>() : std::move(text));
        }
        base += "}";
        bases.push_back(std::move(base));
        const mirror::Observed &seen = event.seen;
        name_spaces.push_back(event.key.name_space);
        names.push_back(event.key.name);
        uids.push_back(pg::text_or_null(event.uid));
        versions.push_back(pg::text_or_null(event.resource_version));
        generations.push_back(seen.generation ? Text(std::to_string(*seen.generation)) : Text());
        lives.push_back(seen.live);
        managers.push_back(seen.managers.dump());
        healths.push_back(pg::text_or_null(seen.health));
        health_messages.push_back(pg::text_or_null(seen.health_message));
        controllers.push_back(pg::text_or_null(seen.controller));
        last_managers.push_back(pg::text_or_null(seen.last_manager));
    }

    // Into the table, as whoever runs it; how many.
    uint64 insert(const Mirror &mirror) const {
        std::vector<const Column *> columns;
        std::vector<pg::Argument> arguments{names};
        if (!mirror.namespace_column.empty())
            arguments.emplace_back(name_spaces);
        for (const Field &field : fields_) {
            columns.push_back(field.column);
            arguments.emplace_back(field.values);
        }
        return pg::execute_once(import_rows(mirror, columns), arguments).affected();
    }

    std::vector<std::string> name_spaces, names, lives, managers, bases;
    std::vector<Text> uids, versions, generations, healths, health_messages, controllers, last_managers;

private:
    struct Field {
        const Column *column;
        std::string base_name; // as member of a JSON object
        bool not_null;         // a value that is missing is the table's default, which nobody knows here
        std::vector<Text> values;
    };
    std::string keys_;
    std::vector<Field> fields_;
};

const pg::Statement select_any_tombstone{"SELECT EXISTS (SELECT FROM dbnet.tombstone WHERE relation = $1::regclass)"};

} // namespace

void import_objects(const Mirror &mirror, std::span<const QueuedEvent> events) {
    mirror::lock_table(mirror, true);
    if (!pg::execute(select_is_plain_table, Oid{mirror.relation}).boolean(0, 0))
        throw NotPlain();
    const std::set<std::string> not_null = mirror::not_null_columns(mirror);

    Batch batch(mirror, not_null);
    for (const QueuedEvent &event : events)
        batch.add(event);
    const pg::Result recorded =
        pg::execute(insert_objects, Oid{mirror.relation}, mirror.field_manager, batch.name_spaces, batch.names,
                    batch.uids, batch.versions, batch.generations, batch.lives, batch.managers, batch.bases,
                    batch.healths, batch.health_messages, batch.controllers, batch.last_managers);
    if (recorded.affected() != events.size())
        throw NotPlain();

    pg::Deadline deadline(settings::report_statement_timeout);
    const uint64 inserted = pg::as_owner(mirror.owner, [&] {
        pg::ReportScope scope(mirror.relation, pg::ReportKind::import);
        return batch.insert(mirror);
    });
    // A row that was deleted meanwhile must not come back.
    if (inserted != events.size() || pg::execute(select_any_tombstone, Oid{mirror.relation}).boolean(0, 0))
        throw NotPlain();
}

} // namespace dbnet::bgworker
