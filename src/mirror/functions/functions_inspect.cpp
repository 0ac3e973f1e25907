// dbnet.preview(), dbnet.fields() and dbnet.object(): what the mirror worker would do and why, decided by the worker's
// own code, and what it has seen. They read and send nothing. Runs in backends.
#include "kubernetes/object/path.hpp"
#include "mirror/decision/mass_change.hpp"
#include "mirror/functions/as_extension.hpp"
#include "mirror/functions/mirrored_rows.hpp"
#include "mirror/functions/outlook.hpp"
#include "mirror/functions/row_writer.hpp"
#include "mirror/functions/sql_arguments.hpp"
#include "settings.hpp"

#include <algorithm>

extern "C" {
#include "fmgr.h"
#include "utils/fmgrprotos.h"
}

namespace dbnet::mirror {
namespace {

const pg::Statement select_object{
    "SELECT coalesce((SELECT live FROM dbnet.object WHERE relation = $1 AND namespace = $2 AND name = $3),"
    " (SELECT last_body FROM dbnet.tombstone WHERE relation = $1 AND namespace = $2 AND name = $3"
    " ORDER BY id DESC LIMIT 1))"};
const pg::Statement has_rights_of{"SELECT pg_has_role($1, 'USAGE')"};

constexpr int rows_per_turn = 500; // bounds memory: each brings its whole live object

RowWriter::Value text_or_null(const std::string &text) {
    return text.empty() ? std::nullopt : RowWriter::Value(text);
}
RowWriter::Value json_or_null(const Json *value) {
    return value && !value->is_null() ? RowWriter::Value(value->dump(-1, ' ', false, Json::error_handler_t::replace))
                                      : std::nullopt;
}

class Preview {
public:
    Preview(const Mirror &mirror, RowWriter &rows) : mirror_(mirror), rows_(rows) {}

    void add(const Subject &subject) {
        const Outlook outlook = foresee(mirror_, subject);
        switch (outlook.decision.action) {
        case Action::create:
        case Action::update:
        case Action::release:
            updates_ += outlook.decision.action == Action::update;
            add_fields(subject, outlook);
            break;
        case Action::remove:
            removes_++;
            add_line(subject, outlook);
            break;
        case Action::hold:
        case Action::refuse:
        case Action::wait:
            add_line(subject, outlook);
            break;
        case Action::nothing:
        case Action::restore:
        case Action::forget:
            break;
        }
    }

    // Mass changes are held as a whole, so they are known only in the end.
    void warn_of_mass_changes(int64_t objects) const {
        const HoldLimits limits{settings::hold_objects, settings::hold_minimum, settings::hold_percent};
        if (is_mass_change(updates_, objects, limits) || is_mass_change(removes_, objects, limits))
            pg::warning(ERRCODE_WARNING,
                        std::to_string(updates_) + " updates and " + std::to_string(removes_) + " deletes of " +
                            std::to_string(objects) + " objects are many at once: they would be held",
                        "dbnet.held will list them; dbnet.approve() lets them go out.");
    }

private:
    void add_line(const Subject &subject, const Outlook &outlook) {
        rows_.add({subject.key.text(), outlook.operation, std::nullopt, std::nullopt, std::nullopt, std::nullopt,
                   std::nullopt, outlook.verdict});
    }

    void add_fields(const Subject &subject, const Outlook &outlook) {
        const Decision &decision = outlook.decision;
        for (const std::string &path : decision.changed) {
            const Column &column = *mirror_.mapping.by_path(path);
            const Json *live = subject.object() ? kubernetes::get(subject.object()->live, column.field) : nullptr;
            const auto taken = outlook.taken_from.find(path);
            const bool is_released = decision.action == Action::release; // an edit of the object's metadata
            rows_.add(
                {subject.key.text(), outlook.operation, path,
                 text_or_null(is_released ? std::string() : column.subresource),
                 json_or_null(find_field(decision.fields, path)), json_or_null(live),
                 text_or_null(subject.manager_of(path)),
                 taken == outlook.taken_from.end() ? outlook.verdict : "force: taken from " + taken->second + " once"});
        }
        if (decision.changed.empty())
            add_line(subject, outlook);
    }

    const Mirror &mirror_;
    RowWriter &rows_;
    int64_t updates_ = 0, removes_ = 0;
};

void preview_rows(const Mirror &mirror, Preview &preview) {
    std::optional<Key> last;
    for (;;) {
        std::vector<Subject> subjects;
        for (MirroredRow &row : next_rows(mirror, last ? &*last : nullptr, rows_per_turn))
            subjects.push_back({std::move(row.key), mirror.mapping.to_object_form(row.row), {}});
        if (subjects.empty())
            return;
        load_stored(subjects);
        for (const Subject &subject : subjects)
            preview.add(subject);
        last = subjects.back().key;
    }
}

// Keys with a tombstone whose row is not there again.
void preview_tombstones(const Mirror &mirror, Preview &preview) {
    std::optional<Key> last;
    for (;;) {
        const std::vector<Key> keys =
            as_extension([&] { return load_pending_keys(mirror.relation, last ? &*last : nullptr, rows_per_turn); });
        if (keys.empty())
            return;
        std::vector<Subject> subjects;
        for (const Key &key : keys)
            if (!find_row(mirror, key))
                subjects.push_back({key, std::nullopt, {}});
        load_stored(subjects);
        for (const Subject &subject : subjects)
            preview.add(subject);
        last = keys.back();
    }
}

// Row values of written fields are shown as they would be sent; the others as they are.
Json row_value(const Column &column, const Json &row) {
    const auto found = row.find(column.name);
    if (found == row.end())
        return nullptr;
    if (column.role != Role::key && column.role != Role::status) {
        auto converted = to_object_form(column, *found);
        if (auto *value = std::get_if<std::optional<Json>>(&converted))
            return value->value_or(Json());
    }
    return *found;
}

} // namespace

DBNET_FUNCTION(dbnet_preview) {
    RowWriter rows(fcinfo);
    const Oid relation = required_relation(fcinfo, 0, "relation");
    pg::in_spi([&] {
        const Mirror mirror = readable_mirror(relation);
        Preview preview(mirror, rows);
        preview_rows(mirror, preview);
        preview_tombstones(mirror, preview);
        preview.warn_of_mass_changes(as_extension([&] { return count_objects(relation); }));
    });
    return Datum{0};
}

DBNET_FUNCTION(dbnet_fields) {
    RowWriter rows(fcinfo);
    const Oid relation = required_relation(fcinfo, 0, "relation");
    const std::string text = required(text_argument(fcinfo, 1), "key");
    pg::in_spi([&] {
        const Mirror mirror = readable_mirror(relation);
        const Key key = parse_key(mirror, text);
        const std::optional<MirroredRow> row = find_row(mirror, key);
        std::vector<Subject> subjects{{key, std::nullopt, {}}};
        load_stored(subjects);
        const Subject &subject = subjects.front();
        if (!row && !subject.object())
            return;
        for (const Column &column : mirror.mapping.columns) {
            const Json in_row = row ? row_value(column, row->row) : Json();
            const Json *live = subject.object() ? kubernetes::get(subject.object()->live, column.field) : nullptr;
            const bool claimed = subject.object() && subject.object()->claimed.contains(column.path);
            rows.add({column.path, json_or_null(&in_row), json_or_null(live), boolean_text(claimed),
                      text_or_null(subject.manager_of(column.path)), text_or_null(subject.manager_of(column.path, 1))});
        }
    });
    return Datum{0};
}

// More than the columns show, so it is for who decides what the columns show.
DBNET_FUNCTION(dbnet_object) {
    const Oid relation = required_relation(fcinfo, 0, "relation");
    const std::string text = required(text_argument(fcinfo, 1), "key");
    const std::string object = pg::in_spi([&] {
        const Mirror mirror = readable_mirror(relation);
        if (!pg::execute(has_rights_of, Oid{mirror.owner}).boolean(0, 0))
            throw pg::error(ERRCODE_INSUFFICIENT_PRIVILEGE, "must be owner of table " + mirror.qualified_name)
                .hint("dbnet.fields() shows who may SELECT the table the fields that it mirrors.");
        const Key key = parse_key(mirror, text);
        return as_extension(
            [&] { return std::string(pg::execute(select_object, relation, key.name_space, key.name).text(0, 0)); });
    });
    if (object.empty())
        PG_RETURN_NULL();
    return pg::call([&] { return DirectFunctionCall1(jsonb_in, CStringGetDatum(object.c_str())); });
}

} // namespace dbnet::mirror
