// The mirrored rows themselves, read as the table's owner: by key, or slice by slice of the whole table. Mirror worker;
// inside a transaction. Throws pg::pg_error, for instance when the table is locked for longer than lock_timeout or a
// user's cast takes longer than dbnet.report_statement_timeout.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "mirror/key.hpp"
#include "mirror/store/catalog.hpp"

namespace dbnet::mirror {

// In the order of the keys, which all belong to `mirror`; nullopt: no such row.
std::vector<std::optional<RowFields>> read_rows(const Mirror &mirror, std::span<const Key> keys);

// Places of rows are counted through the table, so many for each block: more than there are.
extern const uint64_t places_per_block;

// Rows in the table's places [first, first + count). Physical slices need no index and no open cursor; a row that moves
// while the slices go by has been changed by a transaction whose message arrives.
std::vector<std::pair<Key, RowFields>> read_slice(const Mirror &mirror, uint64_t first, uint64_t count);

// The keys alone of such a slice.
std::vector<Key> read_slice_keys(const Mirror &mirror, uint64_t first, uint64_t count);

// Places of the table, of its largest partition when it is partitioned.
uint64_t count_places(const Mirror &mirror);

} // namespace dbnet::mirror
