// Quantities as the server writes them: 0.5 is 500m, 1024Mi is 1Gi.
#pragma once

#include <string>

namespace kubesim {

// The canonical form; false when the text is no quantity.
bool canonical_quantity(const std::string &text, std::string &canonical);

} // namespace kubesim
