#include "base/fault.h"

#ifdef MR_FAULTS
const struct mr_faults *mr_faults;
#else
typedef int mr_faults_are_off; /* ISO C wants something in a file */
#endif
