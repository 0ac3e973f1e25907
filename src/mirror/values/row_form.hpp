// Values on their way into the table: from object form to what json_populate_recordset takes for the column. The other
// direction is in mapping.hpp. Pure C++; used by the mirror worker.
#pragma once

#include "mirror/values/mapping.hpp"

namespace dbnet::mirror {

// A value without a form that fits the column is passed as it is: the column's own input function then says why not.
Json to_row_form(const Column &column, const Json &value);

} // namespace dbnet::mirror
