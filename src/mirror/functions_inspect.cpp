// dbnet.preview() and dbnet.fields(): what the mirror worker would do and why, decided by the worker's own code. They
// read and send nothing. Runs in backends.
#include "kubernetes/path.hpp"
#include "mirror/as_extension.hpp"
#include "mirror/mass_change.hpp"
#include "mirror/mirrored_rows.hpp"
#include "mirror/object_store.hpp"
#include "mirror/row_writer.hpp"
#include "mirror/sql_arguments.hpp"
#include "settings.hpp"

#include <algorithm>

namespace dbnet::mirror {
namespace {

constexpr int rows_per_turn = 500; // bounds memory: each brings its whole live object

const pg::Statement select_managers{
    "SELECT object.managers FROM unnest($2, $3) WITH ORDINALITY AS wanted(namespace, name, number)"
    " LEFT JOIN dbnet.object ON object.relation = $1 AND object.namespace = wanted.namespace AND object.name = "
    "wanted.name"
    " ORDER BY wanted.number"};

// One key with all that decides about it.
struct Subject {
    Key key;
    std::optional<RowFields> row;
    StoredObject stored;
    Json managers = Json::object(); // {path: [manager, time]}

    const ObjectRecord *object() const { return stored.object ? &*stored.object : nullptr; }
    std::string manager_of(const std::string &path, size_t part = 0) const {
        const auto found = managers.find(path);
        if (found == managers.end() || !found->is_array() || found->size() <= part || !(*found)[part].is_string())
            return {};
        return (*found)[part].get<std::string>();
    }
};

RowWriter::Value text_or_null(const std::string &text) {
    return text.empty() ? std::nullopt : RowWriter::Value(text);
}
RowWriter::Value json_or_null(const Json *value) {
    return value && !value->is_null() ? RowWriter::Value(value->dump(-1, ' ', false, Json::error_handler_t::replace))
                                      : std::nullopt;
}

// Objects, tombstones, held changes and managers of many keys; with the extension's rights.
void load_stored(std::vector<Subject> &subjects) {
    std::vector<Key> keys;
    std::vector<std::string> name_spaces, names;
    for (const Subject &subject : subjects) {
        keys.push_back(subject.key);
        name_spaces.push_back(subject.key.name_space);
        names.push_back(subject.key.name);
    }
    if (keys.empty())
        return;
    as_extension([&] {
        std::vector<StoredObject> stored = load_objects(keys, true);
        const pg::Result managers = pg::execute(select_managers, Oid{keys.front().relation}, name_spaces, names);
        for (size_t i = 0; i < subjects.size(); i++) {
            subjects[i].stored = std::move(stored[i]);
            if (managers.at(i, 0))
                subjects[i].managers = Json::parse(managers.at(i, 0));
        }
    });
}

class Preview {
public:
    Preview(const Mirror &mirror, RowWriter &rows) : mirror_(mirror), settings_(mirror.settings), rows_(rows) {
        settings_.manage = true;
    }

    void add(const Subject &subject) {
        Situation situation;
        situation.mapping = &mirror_.mapping;
        situation.settings = &settings_;
        situation.row = subject.row ? &*subject.row : nullptr;
        situation.object = subject.object();
        situation.tombstone = subject.stored.tombstone ? &*subject.stored.tombstone : nullptr;
        situation.hold = subject.row ? subject.stored.apply_hold : subject.stored.delete_hold;
        const Decision decision = decide(situation);
        switch (decision.action) {
        case Action::create:
        case Action::update:
            add_fields(subject, decision);
            break;
        case Action::remove:
            removes_++;
            add_line(subject, "delete", "send");
            break;
        case Action::hold:
            add_line(subject, operation_of(subject), "held: " + decision.message);
            break;
        case Action::refuse:
            add_line(subject, operation_of(subject), "refused: " + decision.message);
            break;
        case Action::wait:
            add_line(subject, operation_of(subject), "wait: " + decision.message);
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
    static const char *operation_of(const Subject &subject) {
        if (!subject.row)
            return "delete";
        return subject.object() && !subject.object()->uid.empty() && subject.object()->phase != Phase::absent
                   ? "update"
                   : "create";
    }

    void add_line(const Subject &subject, const char *operation, const std::string &verdict) {
        rows_.add({subject.key.text(), operation, std::nullopt, std::nullopt, std::nullopt, std::nullopt, verdict});
    }

    void add_fields(const Subject &subject, const Decision &decision) {
        const bool is_update = decision.action == Action::update;
        updates_ += is_update;
        const std::string other = is_update ? refusing_manager(subject, decision) : "";
        for (const std::string &path : decision.changed) {
            const Json *live = subject.object()
                                   ? kubernetes::get(subject.object()->live, mirror_.mapping.by_path(path)->field)
                                   : nullptr;
            const std::string manager = subject.manager_of(path);
            rows_.add({subject.key.text(), is_update ? "update" : "create", path,
                       json_or_null(find_field(decision.fields, path)), json_or_null(live), text_or_null(manager),
                       verdict(subject, decision, path, manager, other)});
        }
        if (decision.changed.empty())
            add_line(subject, is_update ? "update" : "create", "send");
    }

    // Fields that somebody else owns and that have another value there.
    bool is_contested(const Subject &subject, const Decision &decision, const std::string &path) const {
        const std::string manager = subject.manager_of(path);
        if (manager.empty() || manager == mirror_.field_manager || !subject.object())
            return false;
        const Column *column = mirror_.mapping.by_path(path);
        return !same_value(*column, find_field(decision.fields, path),
                           kubernetes::get(subject.object()->live, column->field));
    }

    // Empty when DBNet may take all contested fields at once, else why not.
    std::string refusing_manager(const Subject &subject, const Decision &decision) const {
        ConflictQuestion question;
        question.first_written = &subject.object()->first_written;
        question.enforce = decision.enforce;
        for (const auto &[path, value] : decision.fields)
            if (is_contested(subject, decision, path)) {
                question.paths.insert(path);
                question.managers.insert(subject.manager_of(path));
            }
        if (question.paths.empty() || may_force(question, settings::respected_manager_list()))
            return {};
        std::string list;
        for (const std::string &manager : question.managers)
            list += (list.empty() ? "" : ", ") + manager;
        return list;
    }

    std::string verdict(const Subject &subject, const Decision &decision, const std::string &path,
                        const std::string &manager, const std::string &refusing) const {
        if (!refusing.empty())
            return "conflict: fields of the object belong to " + refusing;
        return is_contested(subject, decision, path) ? "force: taken from " + manager + " once" : "send";
    }

    const Mirror &mirror_;
    MirrorSettings settings_;
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

} // namespace dbnet::mirror
