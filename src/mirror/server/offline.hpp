// Mirrors of offline servers: what dbnet.mirror() would ask the server is assumed, and rows take the place of the
// objects that nobody can list. Runs in backends, inside in_spi().
#pragma once

#include "mirror/store/catalog.hpp"
#include "pg/guard.hpp"

namespace dbnet::mirror {

// The uid of an object that is only assumed to exist: one of an offline server. No real one looks like that.
inline constexpr char assumed_uid[] = "offline";

// The kind as it most likely is. `columns`: the column map as given. Throws pg::error.
kubernetes::Resource assumed_kind(std::string_view api_version, std::string_view kind, const std::string &columns,
                                  std::string_view name_space);

// The table's rows become what the cluster is taken to have: only what is changed afterwards is a change. Rows are read
// with the caller's rights.
void assume_objects(const Mirror &mirror);

// The server is online now: what it has is to be seen, not assumed. With the extension's rights.
void forget_assumed(Oid server);

} // namespace dbnet::mirror
