// Assumptions about offline servers (see offline.hpp). Runs in backends.
#include "mirror/server/offline.hpp"

#include "kubernetes/failure.hpp"
#include "kubernetes/schema/assumed_kind.hpp"
#include "mirror/functions/as_extension.hpp"
#include "mirror/functions/mirrored_rows.hpp"

#include <algorithm>

namespace dbnet::mirror {
namespace {

constexpr int rows_per_turn = 500;

const pg::Statement insert_objects{"INSERT INTO dbnet.object (relation, namespace, name, uid, live, base)"
                                   " SELECT $1, namespace, name, $2, live::jsonb, base::jsonb"
                                   " FROM unnest($3, $4, $5, $6) AS assumed(namespace, name, live, base)"};

#define OF_ONLINE_SERVER                                                                                               \
    " IN (SELECT m.relation FROM dbnet.mirrored_relation AS m JOIN pg_foreign_server AS s ON s.srvname = m.server"     \
    " WHERE s.oid = $1 AND NOT dbnet.is_offline(m.server))"
const pg::Statement forget_objects{"DELETE FROM dbnet.object WHERE uid = $2 AND relation" OF_ONLINE_SERVER};
// Without a uid the object is looked for first, and deleted only if it is DBNet's.
const pg::Statement forget_uids{"UPDATE dbnet.tombstone SET uid = NULL WHERE uid = $2 AND relation" OF_ONLINE_SERVER};
#undef OF_ONLINE_SERVER

std::string text_of(const Json &document) {
    return document.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// All that the row says of the object, status included.
Fields fields_of(const Mapping &mapping, const Json &row) {
    Fields fields;
    for (const Column &column : mapping.columns) {
        const auto found = row.find(column.name);
        if (column.role == Role::key || found == row.end())
            continue;
        auto converted = to_object_form(column, *found);
        if (auto *value = std::get_if<std::optional<Json>>(&converted); value && *value)
            fields.emplace(column.path, storable(std::move(**value)));
    }
    return fields;
}

bool maps_namespace(const std::string &columns) {
    const Json map = Json::parse(columns, nullptr, false);
    return map.is_object() && std::ranges::any_of(map, [](const Json &value) {
               const Json *path = value.is_object() && value.contains("path") ? &value["path"] : &value;
               return *path == "metadata.namespace";
           });
}

} // namespace

kubernetes::Resource assumed_kind(std::string_view api_version, std::string_view kind, const std::string &columns,
                                  std::string_view name_space) {
    try {
        return kubernetes::assumed_resource(api_version, kind, !name_space.empty() || maps_namespace(columns));
    } catch (const kubernetes::Failure &failure) {
        throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE, failure.what()).hint(failure.hint());
    }
}

void assume_objects(const Mirror &mirror) {
    for (std::optional<Key> last;;) {
        std::vector<std::string> name_spaces, names, live, base;
        for (MirroredRow &row : next_rows(mirror, last ? &*last : nullptr, rows_per_turn)) {
            Fields fields = fields_of(mirror.mapping, row.row);
            std::vector<std::pair<kubernetes::FieldPath, Json>> values;
            for (const auto &[path, value] : fields)
                values.emplace_back(mirror.mapping.by_path(path)->field, value);
            live.push_back(text_of(
                kubernetes::apply_body(mirror.resource, row.key.name_space, row.key.name, assumed_uid, values, {})));
            for (const Column &column : mirror.mapping.columns)
                if (column.role == Role::key)
                    fields[column.path] = true;
            base.push_back(text_of(fields));
            name_spaces.push_back(row.key.name_space);
            names.push_back(row.key.name);
            last = std::move(row.key);
        }
        if (names.empty())
            return;
        as_extension(
            [&] { pg::execute(insert_objects, Oid{mirror.relation}, assumed_uid, name_spaces, names, live, base); });
    }
}

void forget_assumed(Oid server) {
    pg::execute(forget_objects, server, assumed_uid);
    pg::execute(forget_uids, server, assumed_uid);
}

} // namespace dbnet::mirror
