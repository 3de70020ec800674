// What tensors are made of: float, or double under `make config=double` (gradient checks).
#ifndef VITRAIN_BASE_REAL_H
#define VITRAIN_BASE_REAL_H

#ifdef VT_DOUBLE
typedef double vt_real;
#define VT_REAL_NAME "double"
#else
typedef float vt_real;
#define VT_REAL_NAME "float"
#endif

#endif
